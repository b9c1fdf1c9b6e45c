"""Serve the query tools to an MCP client over standard input and output."""

from mcp.server.mcpserver import MCPServer

from ai_manufacturing.question_door.tools import Door

INSTRUCTIONS = (
    "A release of a research warehouse: data by city and year, estimates and verdicts. Begin with"
    " findings, search or list_tables. Quote no coefficient without its verdict and its caveats (†:"
    " another series substitutes for the paper's). Say so if the numbers are synthetic, and where"
    " values are withheld, which is not the same as none."
)


def serve(door: Door) -> None:
    """Serve an MCP client on standard input and output until it disconnects."""
    app = MCPServer("ai-manufacturing", instructions=INSTRUCTIONS)
    tools = (door.findings, door.search, door.list_tables, door.describe, door.query, door.trace)
    for tool in tools:
        app.add_tool(tool, structured_output=False)
    app.run()
