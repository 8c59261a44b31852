"""The decoder reads what PostgreSQL sends, and refuses everything else with one kind of error."""

import struct
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtrag.adapters.postgres.pgoutput import decode_message
from rtrag.adapters.postgres.replication_frames import (
    POSTGRES_EPOCH,
    Keepalive,
    ProtocolError,
    XLogData,
    decode_frame,
    encode_status,
)
from rtrag.adapters.postgres.replication_messages import (
    UNCHANGED,
    Begin,
    Commit,
    LogicalMessage,
    Message,
    Origin,
    Relation,
    RelationColumn,
    Row,
    RowDeleted,
    RowInserted,
    RowUpdated,
    TooLarge,
    Truncated,
    TypeName,
)

RECORDED: dict[str, Message] = {
    "42000000000171a478000303e9fbfbb5c7000002f4": Begin(
        0x171A478, POSTGRES_EPOCH + timedelta(microseconds=0x303E9FBFBB5C7), 756
    ),
    "4300000000000171a478000000000171a4a8000303e9fbfbb5c7": Commit(
        0x171A478, 0x171A4A8, POSTGRES_EPOCH + timedelta(microseconds=0x303E9FBFBB5C7)
    ),
    "59000040017075626c6963006d6f6f6400": TypeName(16385, "public", "mood"),
    (
        "52000040037075626c69630074006400030169640000000017ffffffff"
        "00636f6e74656e740000000019ffffffff006d0000004001ffffffff"
    ): (
        Relation(
            16387,
            "public",
            "t",
            "d",
            (
                RelationColumn("id", 23, -1, part_of_key=True),
                RelationColumn("content", 25, -1, part_of_key=False),
                RelationColumn("m", 16385, -1, part_of_key=False),
            ),
        )
    ),
    "49000040034e0003740000000131740000000378787874000000056861707079": RowInserted(16387, (b"1", b"xxx", b"happy")),
    "55000040034e0003740000000131756e": RowUpdated(16387, None, None, (b"1", UNCHANGED, None)),
    "55000040034b00037400000001316e6e4e0003740000000132756e": RowUpdated(
        16387, "K", (b"1", None, None), (b"2", UNCHANGED, None)
    ),
    "44000040034b00037400000001326e6e": RowDeleted(16387, "K", (b"2", None, None)),
    "54000000010100004003": Truncated((16387,), cascade=True, restart_identity=False),
    "4d01000000000171c288727472616700000000026869": LogicalMessage(
        transactional=True, lsn=0x171C288, prefix="rtrag", content=b"hi"
    ),
}


@pytest.mark.parametrize("recorded", RECORDED)
def test_messages_recorded_from_a_real_server_decode(recorded: str) -> None:
    assert decode_message(bytes.fromhex(recorded)) == RECORDED[recorded]


u32 = st.integers(0, 2**32 - 1)
u64 = st.integers(0, 2**64 - 1)
times = st.integers(0, 2**55).map(lambda micros: POSTGRES_EPOCH + timedelta(microseconds=micros))
names = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)
rows: st.SearchStrategy[Row] = st.lists(
    st.one_of(st.binary(max_size=20), st.none(), st.just(UNCHANGED)), max_size=5
).map(tuple)
columns = st.builds(RelationColumn, names, u32, st.integers(-(2**31), 2**31 - 1), part_of_key=st.booleans())
updates = st.one_of(
    st.builds(RowUpdated, u32, st.none(), st.none(), rows),
    st.builds(RowUpdated, u32, st.sampled_from(["K", "O"]), rows, rows),
)
messages: st.SearchStrategy[Message] = st.one_of(
    st.builds(Begin, u64, times, u32),
    st.builds(Commit, u64, u64, times),
    st.builds(Origin, u64, names),
    st.builds(Relation, u32, names, names, st.sampled_from("dnfi"), st.lists(columns, max_size=4).map(tuple)),
    st.builds(TypeName, u32, names, names),
    st.builds(RowInserted, u32, rows),
    updates,
    st.builds(RowDeleted, u32, st.sampled_from(["K", "O"]), rows),
    st.builds(Truncated, st.lists(u32, max_size=4).map(tuple), cascade=st.booleans(), restart_identity=st.booleans()),
    st.builds(LogicalMessage, transactional=st.booleans(), lsn=u64, prefix=names, content=st.binary(max_size=20)),
)


def encode(message: Message) -> bytes:  # noqa: C901, PLR0911  one way for each message
    match message:
        case Begin(lsn, time, xid):
            return b"B" + struct.pack(">QqI", lsn, micros(time), xid)
        case Commit(commit, end, time):
            return b"C" + struct.pack(">BQQq", 0, commit, end, micros(time))
        case Origin(lsn, name):
            return b"O" + struct.pack(">Q", lsn) + cstring(name)
        case Relation(oid, namespace, name, identity, described):
            head = struct.pack(">I", oid) + cstring(namespace) + cstring(name) + identity.encode()
            return b"R" + head + struct.pack(">H", len(described)) + b"".join(map(encode_column, described))
        case TypeName(oid, namespace, name):
            return b"Y" + struct.pack(">I", oid) + cstring(namespace) + cstring(name)
        case RowInserted(oid, new):
            return b"I" + struct.pack(">I", oid) + b"N" + encode_row(new)
        case RowUpdated(oid, kind, old, new):
            before = b"" if kind is None or old is None else kind.encode() + encode_row(old)
            return b"U" + struct.pack(">I", oid) + before + b"N" + encode_row(new)
        case RowDeleted(oid, old_kind, old):
            return b"D" + struct.pack(">I", oid) + old_kind.encode() + encode_row(old)
        case Truncated(relations, cascade, restart):
            options = cascade + 2 * restart
            return b"T" + struct.pack(f">IB{len(relations)}I", len(relations), options, *relations)
        case LogicalMessage(transactional, lsn, prefix, content):
            return b"M" + struct.pack(">BQ", transactional, lsn) + cstring(prefix) + sized(content)


def encode_column(column: RelationColumn) -> bytes:
    return (
        bytes([column.part_of_key]) + cstring(column.name) + struct.pack(">Ii", column.type_oid, column.type_modifier)
    )


def encode_row(row: Row) -> bytes:
    parts = [b"n" if value is None else b"u" if value is UNCHANGED else b"t" + sized(value) for value in row]
    return struct.pack(">H", len(row)) + b"".join(parts)


def sized(content: bytes | TooLarge) -> bytes:
    assert isinstance(content, bytes), "nothing is too large here"
    return struct.pack(">I", len(content)) + content


def cstring(name: str) -> bytes:
    return name.encode() + b"\0"


def micros(time: datetime) -> int:
    return (time - POSTGRES_EPOCH) // timedelta(microseconds=1)


@given(messages)
def test_what_is_encoded_decodes_to_the_same_message(message: Message) -> None:
    encoded = encode(message)
    assert decode_message(encoded) == decode_message(memoryview(encoded)) == message


def test_of_a_value_that_is_too_large_only_the_beginning_is_taken() -> None:
    row: Row = (b"key", b"x" * 5_000, None, b"y" * 10)
    decoded = decode_message(memoryview(encode(RowInserted(1, row))), largest=4_999)
    assert decoded == RowInserted(1, (b"key", TooLarge(5_000, b"x" * 2_000), None, b"y" * 10))
    assert decode_message(encode(RowInserted(1, row)), largest=5_000) == RowInserted(1, row)


@given(messages, st.data())
def test_a_message_cut_short_or_followed_by_more_is_refused(message: Message, data: st.DataObject) -> None:
    encoded = encode(message)
    cut = data.draw(st.integers(0, len(encoded) - 1))
    with pytest.raises(ProtocolError):
        decode_message(encoded[:cut])
    with pytest.raises(ProtocolError, match="is followed by 1 more bytes, at offset"):
        decode_message(encoded + b"x")


@given(
    st.one_of(
        st.binary(max_size=60),
        st.builds(
            lambda kind, rest: kind + rest,
            st.sampled_from([b"B", b"C", b"O", b"R", b"Y", b"I", b"U", b"D", b"T", b"M"]),
            st.binary(max_size=60),
        ),
    )
)
def test_any_bytes_are_a_message_or_a_protocol_error(data: bytes) -> None:
    for decode in (decode_message, decode_frame):
        try:
            decode(data)
        except ProtocolError as exc:
            assert str(len(data)) in str(exc)  # noqa: PT017  nothing but this error may be raised


def test_frames_tell_data_from_keepalives() -> None:
    data = struct.pack(">cQQq", b"w", 1, 2, 3) + b"rest"
    assert decode_frame(data) == XLogData(1, 2, b"rest")
    assert decode_frame(struct.pack(">cQqB", b"k", 5, 6, 1)) == Keepalive(5, reply_requested=True)


def test_a_status_update_carries_what_was_received_and_what_is_durable() -> None:
    now = datetime(2000, 1, 1, 0, 0, 1, tzinfo=UTC)
    sent = encode_status(received=7, confirmed=5, now=now, reply_requested=True)
    assert struct.unpack(">cQQQqB", sent) == (b"r", 7, 5, 5, 1_000_000, 1)


def test_bytes_in_names_that_are_not_text_do_not_stop_decoding() -> None:
    message = decode_message(b"Y" + struct.pack(">I", 1) + b"caf\xe9\0x\0")
    assert message == TypeName(1, "caf\udce9", "x")
