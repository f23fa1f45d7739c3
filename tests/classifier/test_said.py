from classifier.said import fit


def test_control_and_bidirectional_characters_do_not_reach_a_log() -> None:
    assert fit("plain, ünï", 100) == "plain, ünï"
    assert fit("a\nb\x1b[2Jc\u202ed\ud800", 100) == "a?b?[2Jc?d?"
    assert fit("x" * 11, 10) == "x" * 10
