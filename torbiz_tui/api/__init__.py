"""The endpoint for other programs: OpenAI's HTTP interface in front of the chat service."""
