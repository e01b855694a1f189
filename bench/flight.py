"""Statements over Flight SQL with Arrow's own Flight client, which a bare Flight server can be read with too."""

import pyarrow.flight

QUERY = b"type.googleapis.com/arrow.flight.protocol.sql.CommandStatementQuery"


def field(number, data):
    """A length-delimited field of a protobuf message."""
    length, left = b"", len(data)
    while left > 127:
        length, left = length + bytes([left & 127 | 128]), left >> 7
    return bytes([number << 3 | 2]) + length + bytes([left]) + data


def ticket(client, sql):
    command = field(1, QUERY) + field(2, field(1, sql.encode()))
    info = client.get_flight_info(pyarrow.flight.FlightDescriptor.for_command(command))
    return info.endpoints[0].ticket


def rows(client, sql):
    return client.do_get(ticket(client, sql)).read_all().to_pylist()


def drain(client, at):
    """Reads a whole stream, keeping nothing: rows and bytes of Arrow."""
    count = size = 0
    for chunk in client.do_get(at):
        count += chunk.data.num_rows
        size += chunk.data.nbytes
    return count, size
