import email
import email.policy
import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from werkzeug.formparser import MultiPartParser

from addons.doors import multipart
from addons.doors.multipart import MalformedFormError, Part, boundary_of, is_multipart, read_form
from tests.addons.doors.forms import form, part

PIXEL = b"\x89PNG\r\n\x1a\n-"
HEAD = 'Content-Disposition: form-data; name="file"'


def read(body: bytes, content_type: str) -> list[Part]:
    return read_form(body, boundary_of([content_type]))


def one(head: str, data: bytes = PIXEL) -> list[Part]:
    return read(*form(head.encode("utf-8") + b"\r\n\r\n" + data))


# -- what honest clients send ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content_type", "boundary"),
    [
        ("multipart/form-data; boundary=----WebKitFormBoundaryAaZz09", b"----WebKitFormBoundaryAaZz09"),  # Chrome
        ("multipart/form-data; boundary=---------------------------17", b"---------------------------17"),  # Firefox
        ('multipart/form-data; boundary="5b0bde05-e5a3-4a1e-9d5c"', b"5b0bde05-e5a3-4a1e-9d5c"),  # .NET
        ("multipart/form-data; boundary=dart-http-boundary-aB_+.9", b"dart-http-boundary-aB_+.9"),
        ("multipart/form-data; charset=utf-8; boundary=Boundary-1F", b"Boundary-1F"),  # Alamofire
        ("Multipart/Form-Data;boundary=x", b"x"),
        ("multipart/form-data; boundary=x; charset=UTF-8", b"x"),
        (f"multipart/form-data; boundary={'b' * 70}", b"b" * 70),
    ],
)
def test_a_boundary(content_type: str, boundary: bytes) -> None:
    assert boundary_of([content_type]) == boundary


@pytest.mark.parametrize(
    "content_types",
    [
        [],
        ["multipart/form-data"],
        ["multipart/form-data; boundary="],
        [f"multipart/form-data; boundary={'b' * 71}"],
        ["multipart/form-data; boundary=a; boundary=b"],
        ["multipart/form-data; boundary=a", "multipart/form-data; boundary=b"],
        ["multipart/form-data; boundary=a,multipart/form-data; boundary=b"],
        ["multipart/form-data; boundary*=utf-8''a"],
        ["multipart/form-data; boundary*0=a; boundary*1=b"],
        ['multipart/form-data; boundary="a b"'],
        ['multipart/form-data; boundary="a\\"b"'],
        ["multipart/form-data; boundary=a%20b"],
        ["multipart/form-data; x=boundary=a; boundary=b"],
        ["multipart/mixed; boundary=a"],
        ["multipart/form-data; charset=utf-7; boundary=a"],
        ["application/json; multipart/form-data; boundary=a"],
        ["multipart/form-data; boundary=ä"],
    ],
)
def test_a_boundary_that_parsers_read_differently(content_types: list[str]) -> None:
    with pytest.raises(MalformedFormError, match="Content-Type"):
        boundary_of(content_types)


def test_is_multipart() -> None:
    assert is_multipart(["text/plain", "x; MultiPart/anything"])
    assert not is_multipart(["application/json"])


def test_a_form() -> None:
    body, content_type = form(
        part("status", "Grüße\r\n--".encode()),
        part("file", PIXEL, "a \\ b;c.png", "image/png"),
        part("empty", b"", "", "application/octet-stream"),
        b"content-disposition: form-data; filename=a.png; filename*=utf-8''a.png; name=\"x\"\r\n\r\n" + PIXEL,
        b"content-type: text/plain; charset=utf-8\r\ncontent-transfer-encoding: binary\r\n"
        b"content-disposition: form-data; name=y\r\n\r\ntext",
    )
    parts = read(body, content_type)
    assert [(each.name, each.is_file, body[each.start : each.end]) for each in parts] == [
        ("status", False, "Grüße\r\n--".encode()),
        ("file", True, PIXEL),
        ("empty", True, b""),
        ("x", True, PIXEL),
        ("y", False, b"text"),
    ]


@pytest.mark.parametrize("before", [b"", b"\r\n"])
@pytest.mark.parametrize("after", [b"", b"\r\n"])
def test_an_empty_line_before_and_behind(before: bytes, after: bytes) -> None:
    body, content_type = form(part("a", b"1"))
    assert len(read(before + body.removesuffix(b"\r\n") + after, content_type)) == 1


@pytest.mark.parametrize(
    ("head", "is_file"),
    [
        (HEAD, False),
        (HEAD + '; filename=""', True),
        (HEAD + "; filename*=utf-8''a.txt", True),
        (HEAD + "\r\nContent-Type: text/plain", False),
        (HEAD + "\r\nContent-Type: image/png", True),  # Rack takes it for a file
        ('Content-Disposition: form-data; name="a\\"; filename=\\"b"', True),  # one without backslashes sees a name
    ],
)
def test_what_some_server_takes_for_a_file(head: str, is_file: bool) -> None:
    assert [each.is_file for each in one(head)] == [is_file]


# -- what is refused ---------------------------------------------------------------------------------------------------

GOOD, TYPE = form(part("a", b"1"), part("b", b"2"), boundary="x")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"nothing",
        GOOD[: -len(b"--x--\r\n")],
        GOOD[: -len(b"--\r\n")],
        GOOD[: -len(b"-\r\n")],
        GOOD + b"more",
        GOOD + b"\r\n",
        b"preamble\r\n" + GOOD,
        b"\n" + GOOD,
        GOOD.replace(b"--x\r\n", b"--x \r\n"),
        GOOD.replace(b"--x\r\n", b"--x\n"),
        GOOD.replace(b"--x\r\n", b"--xy\r\n"),
        GOOD.replace(b"\r\n", b"\n"),
        GOOD.replace(b"1\r\n--x", b"1\n--x"),
        GOOD.replace(b"1\r\n--x", b"1--x"),
        GOOD.replace(b"1\r\n", b"1 --x\r\n"),
        GOOD.replace(b"1\r\n", b"1\n--x\nContent-Disposition: form-data; name=f; filename=f\n\nbytes\n--x--\r\n"),
        GOOD.replace(b"--x--", b"--x--x"),
        b"--x--\r\n--x--\r\n",
        b"--x\r\n--x--\r\n",
        b"--x\r\n\r\n--x--\r\n",
        b"--x\r\n\r\nno headers\r\n--x--\r\n",
    ],
)
def test_a_form_that_parsers_take_apart_differently(body: bytes) -> None:
    assert len(read(GOOD, TYPE)) == 2
    with pytest.raises(MalformedFormError):
        read(body, TYPE)


@pytest.mark.parametrize(
    "head",
    [
        "Content-Type: image/png",
        'Content-Disposition: attachment; name="a"',
        "Content-Disposition: form-data",
        "Content-Disposition: form-data; filename=a",
        HEAD + '; name="b"',
        HEAD + '; filename="a"; filename="b"',
        HEAD + "; other=1",
        HEAD + "; filename=a b",
        HEAD + '; filename="a',
        HEAD + "\r\n" + HEAD,
        HEAD + "\r\nContent-Type: image/png\r\nContent-Type: text/plain",
        HEAD + "\r\nContent-Transfer-Encoding: base64",
        HEAD + "\r\nContent-Transfer-Encoding: quoted-printable",
        HEAD + "\r\nContent-Type: multipart/mixed; boundary=y",
        HEAD + "\r\nContent-Type: message/rfc822",
        HEAD + "\r\nContent-Type: text/plain; charset=utf-7",
        HEAD + "\r\n folded: 1",
        HEAD + "\r\nname : 1",
        HEAD + "\nX: 1",
        HEAD + "\rX: 1",
        HEAD + "\r\nX: a\x00b",
        HEAD + "\r\nno colon",
    ],
)
def test_headers_that_parsers_read_differently(head: str) -> None:
    with pytest.raises(MalformedFormError):
        one(head)


def test_bounds() -> None:
    most = [part("a", b"1")] * multipart.MAX_PARTS
    assert len(read(*form(*most))) == multipart.MAX_PARTS
    with pytest.raises(MalformedFormError, match="256 parts"):
        read(*form(*most, most[0]))
    with pytest.raises(MalformedFormError, match="256 parts"):
        read(b"-" * (4 << 20), "multipart/form-data; boundary=-")
    headers = [HEAD, *(f"X-{count}: 1" for count in range(multipart.MAX_HEADERS - 1))]
    assert one("\r\n".join(headers))
    with pytest.raises(MalformedFormError, match="16 headers"):
        one("\r\n".join([*headers, "X: 1"]))
    long = "X: " + "a" * (multipart.MAX_HEADER_BYTES - len(HEAD) - 5)
    assert one(f"{HEAD}\r\n{long}")
    with pytest.raises(MalformedFormError, match="8192 bytes"):
        one(f"{HEAD}\r\n{long}a")


def test_a_boundary_is_found_wherever_it_stands() -> None:
    for size in range((1 << 20) - 120, (1 << 20) + 4):
        body, content_type = form(part("a", bytes(size)), boundary="edge")
        (found,) = read(body, content_type)
        assert found.end - found.start == size


# -- others' parsers ---------------------------------------------------------------------------------------------------

_PIECES = st.sampled_from(
    [
        b"--x",
        b"--x--",
        b"--",
        b"x",
        b"\r\n",
        b"\n",
        b"\r",
        b" ",
        b"\t",
        b"Content-Disposition: form-data; name=a",
        b"Content-Disposition: form-data; name=f; filename=f.png",
        b"Content-Disposition: form-data; name=f; filename*=utf-8''f.png",
        b'; filename="f"',
        b"; name=b",
        b"Content-Type: image/png",
        b"Content-Type: text/plain",
        b"Content-Type: multipart/mixed; boundary=y",
        b"Content-Transfer-Encoding: base64",
        b"Content-Transfer-Encoding: binary",
        b": ",
        b";",
        b'"',
        b"\\",
        b"\x89PNG",
        b"\x00",
        b"--y",
    ]
)
_EDITS = st.lists(st.tuples(st.integers(0, 400), st.integers(0, 3), _PIECES), max_size=4)
_FORMS = st.lists(
    st.builds(
        part,
        st.sampled_from(["a", "file"]),
        st.lists(_PIECES, max_size=4).map(b"".join),
        st.sampled_from([None, "", "f.png"]),
        st.sampled_from([None, "text/plain", "image/png"]),
    ),
    min_size=1,
    max_size=3,
)


@settings(max_examples=400, deadline=None)
@given(_FORMS, _EDITS)
def test_what_other_parsers_see_is_seen(parts: list[bytes], edits: list[tuple[int, int, bytes]]) -> None:
    """A hostile form is refused, or Werkzeug's and Python's own parser find in it what is found here."""
    body, content_type = form(*parts, boundary="x")
    for at, cut, piece in edits:
        body = body[:at] + piece + body[at + cut :]
    try:
        ours = [(each.is_file, body[each.start : each.end]) for each in read(body, content_type)]
    except MalformedFormError:
        return
    files, fields = [data for is_file, data in ours if is_file], [data for _, data in ours]
    try:
        form_read, files_read = MultiPartParser(_stream).parse(io.BytesIO(body), b"x", len(body))
    except ValueError:
        pass
    else:
        for storage in files_read.values():
            assert storage.stream.read() in files
        for text in form_read.values():
            assert text.encode() in [data.decode("utf-8", "replace").encode() for data in fields]
    head = f"Content-Type: {content_type}\r\n\r\n".encode()
    message = email.message_from_bytes(head + body, policy=email.policy.HTTP)
    for each in message.iter_parts() if message.is_multipart() else ():
        payload = each.get_payload(decode=True)
        assert isinstance(payload, bytes)
        # Line ends are its own: it reads mail.
        assert _lines(payload) in [_lines(data) for data in fields]
        if each.get_filename():
            assert _lines(payload) in [_lines(data) for data in files]


def _stream(*_: object, **__: object) -> io.BytesIO:
    return io.BytesIO()


def _lines(data: bytes) -> list[bytes]:
    return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
