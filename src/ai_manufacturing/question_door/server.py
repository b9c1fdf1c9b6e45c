"""Serve the query tools to an MCP client over standard input and output."""

from mcp.server.mcpserver import MCPServer

from ai_manufacturing.question_door.tools import Door

INSTRUCTIONS = (
    "This server answers questions about a release of a research warehouse, which contains data by"
    " city and year, estimates and verdicts. Begin with findings, search or list_tables. Quote no"
    " coefficient without its verdict and its caveats (the mark † means that another series"
    " substitutes for the paper's). If the numbers are synthetic, say so. If values are withheld,"
    " say so too: withheld values exist, but are not shown."
)


def serve(door: Door) -> None:
    """Serve an MCP client on standard input and output until it disconnects."""
    app = MCPServer("ai-manufacturing", instructions=INSTRUCTIONS)
    tools = (door.findings, door.search, door.list_tables, door.describe, door.query, door.trace)
    for tool in tools:
        app.add_tool(tool, structured_output=False)
    app.run()
