"""MCP server that answers an AI assistant's questions about a release."""
