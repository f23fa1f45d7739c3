import pytest

from addons.policy.problems import ConfigError, Problem, did_you_mean, in_order, masked, one_of


def test_a_problem_is_printed_like_a_compilers() -> None:
    problem = Problem(
        "config.yaml",
        12,
        3,
        'unknown key "upsteam"',
        "one of upstream, listen",
        'did you mean "upstream"?',
        "  upsteam: x",
    )
    assert str(problem) == (
        'config.yaml:12:3: unknown key "upsteam"\n'
        "    upsteam: x\n"
        "    ^\n"
        "  expected: one of upstream, listen\n"
        '  did you mean "upstream"?'
    )


def test_a_warning_says_so_and_an_empty_line_is_not_shown() -> None:
    assert str(Problem("c", 1, 1, "careful", warning=True)) == "c:1:1: warning: careful"


@pytest.mark.parametrize(
    ("line", "column", "caret"),
    [
        ("abc", 3, "    ^"),
        ("\tabc", 2, "  \t^"),
        ("漢字x", 3, "      ^"),  # wide characters take two columns
        ("e\u0301x", 3, "   ^"),  # a combining accent takes none
    ],
)
def test_the_caret_stands_under_its_column(line: str, column: int, caret: str) -> None:
    assert str(Problem("c", 1, column, "m", source=line)).splitlines()[2] == caret


def test_a_long_line_is_cut_around_the_caret() -> None:
    at_bound = Problem("c", 1, 160, "m", source="a" * 159 + "X")
    assert str(at_bound).splitlines()[1] == "  " + "a" * 159 + "X"
    past = Problem("c", 1, 400, "m", source="a" * 399 + "X" + "b" * 400)
    line, caret = str(past).splitlines()[1:3]
    assert len(line) == 162
    assert line[caret.index("^")] == "X"


def test_control_characters_do_not_reach_the_terminal() -> None:
    assert "\x1b" not in str(Problem("c", 1, 1, "m", source="\x1b[2Jx"))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("nats://judge:secret@host:4222", "nats://************@host:4222"),
        ("[tls://a:p@ss@one, tls://t0ken@two]", "[tls://******@one, tls://*****@two]"),
        ("postgresql://u:${PW}@127.0.0.1/x", "postgresql://**${PW}@127.0.0.1/x"),
        ("https://example.org/@user", "https://example.org/@user"),
        ("nats://host:4222", "nats://host:4222"),
        ("a@b.example", "a@b.example"),
    ],
)
def test_no_password_of_a_url_is_shown(text: str, shown: str) -> None:
    assert masked(text) == shown
    told = str(Problem("c", 1, 3, f'"{text}" cannot be', f"not {text}", f"hint {text}", source=f"  x: {text}"))
    assert told.count(shown) == 4
    assert "secret" not in told


def test_an_error_holds_every_problem_once_and_in_order() -> None:
    one, two = Problem("c", 2, 1, "second"), Problem("c", 1, 9, "first")
    error = ConfigError([one, two, one])
    assert error.problems == (two, one) == in_order([one, two])
    assert str(error) == "c:1:9: first\n\nc:2:1: second"


@pytest.mark.parametrize(
    ("word", "hint"),
    [("upsteam", 'did you mean "upstream"?'), ("UPSTREAM", 'did you mean "upstream"?'), ("xyz", None), ("", None)],
)
def test_did_you_mean(word: str, hint: str | None) -> None:
    assert did_you_mean(word, ["upstream", "listen"]) == hint


def test_one_of() -> None:
    assert one_of(["a"]) == "a"
    assert one_of(["a", "b"]) == "one of a, b"
