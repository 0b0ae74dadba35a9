"""What a person writes is read in one way, or refused with its line."""

import json

import pytest

from pipelines.store.user_yaml import parse_user_yaml

BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]\n"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
MERGES = "a: &a {k: 1}\n" + "".join(
    f"{name}: &{name}\n  <<: [{', '.join([f'*{before}'] * 10)}]\n"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("root: a\nname: b\nroot: c\n", r"has the key 'root' twice in lines 1 and 3; keep one"),
        ("fetch:\n  retries: 1\n  'retries': 2\n", r"'retries' twice in lines 2 and 3"),
        ("sources:\n- {kind: a, list: b,\n   list: c}\n", r"'list' twice in lines 2 and 3"),
        ('{"a": {"b": 1,\n\t"b": 2}}', r"'b' twice in lines 1 and 2"),
        ("{a: 1, a: 2}", r"has the key 'a' twice; keep one"),
        ("languages: [en,\n no]", r"has no without quotes in line 2, .* write \"no\" for the word, or false"),
        (
            "a:\n  b: Yes\n",
            r"has Yes without quotes in line 2, which is true .* \"Yes\" for the word, or true",
        ),
        ("[off]", r"has off without quotes, which is false"),
        ("a: ON\n", r"has ON without quotes"),
        (
            "a: 1\nshard_rows: 0100",
            r"has the number 0100 in line 2, which is 64 .* write 64 or 100, or \"0100\"",
        ),
        ("a: -017", r"which is -15 .* write -15 or -17"),
        ("a: 1_000", r"the number 1_000, which is 1000 to YAML 1.1 .* write 1000, or"),
        ("a: 0b101", r"which is 5"),
        ("a: 12:30:45", r"the number 12:30:45, which is 45045"),
        ("a: 1:30.5", r"has the number 1:30.5, which not every YAML reads alike"),
        ("a: 1_0.5", r"has the number 1_0.5"),
        ("a: 9223372036854775808", r"9,223,372,036,854,775,807 is the largest"),
        (f"a: 1\nb: {'9' * 5000}", r"has a number of 5,000 characters in line 2"),
        ("a: 0xfffffffffffffffff", r"a number of 19 characters"),
        (BOMB, r"has aliases that unfold to more than 100,000 values in line 5"),
        (MERGES, r"has aliases that unfold to more than 100,000 values"),
        ("a: &a\n  b: *a\n", r"has an alias that contains itself in line 1|found undefined alias"),
        ("a: &a [1, *a]\n", r"has an alias that contains itself"),
        ("a:\n\tb: 1\n", r"is not YAML \(line 2: found character .*; tabs indent nothing, use blanks\)"),
        ("name: [\n", r"is not YAML \(line 2: .*\); mend that line"),
        ('a: "\\ud800"', r"has half of a surrogate pair"),
        ('{"a": "\\ud800"}', r"has half of a surrogate pair"),
        ("[" * 100_000, r"is nested too deeply"),
        ("a: " + "x" * 2**20, r"has more than 1,048,576 characters"),
        ("x: !!python/object:os.system {}", r"is not YAML \(.*could not determine a constructor"),
        ("a: 1\n---\nb: 2\n", r"is not YAML \(line 2: but found another document"),
    ],
    ids=ascii,
)
def test_what_can_be_read_in_two_ways_is_refused(text, sentence):
    """In one sentence, with the line where there are several; a bomb of aliases is never unfolded."""
    with pytest.raises(ValueError, match=sentence) as caught:
        parse_user_yaml(text)

    assert "\n" not in str(caught.value)
    assert 400 > len(str(caught.value))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("a: 2024-01-02", {"a": "2024-01-02"}),
        ("a: 2024-01-02 10:11:12", {"a": "2024-01-02 10:11:12"}),
        ("{on: key, off: x, no: y}", {"on": "key", "off": "x", "no": "y"}),
        ('languages: ["no", \'on\', nor]', {"languages": ["no", "on", "nor"]}),
        ("{a: true, b: False, c: ~, d: 0x1F, e: -3, f: 1.5e+3, g: 0}",
         {"a": True, "b": False, "c": None, "d": 31, "e": -3, "f": 1500.0, "g": 0}),
        ('a: "0100"', {"a": "0100"}),
        ("quote: =", {"quote": "="}),
        ("a: &x {b: 1}\nc: {<<: *x, b: 2}", {"a": {"b": 1}, "c": {"b": 2}}),
        ('\ufeff{\n\t"a":\t[1,\t2e3],\r\n\t"b": "\\ud83d\\ude00 \\t"\n}',
         {"a": [1, 2000.0], "b": "\U0001f600 \t"}),
        ("{a: 1}", {"a": 1}),
        ("- 1\n- b: c", [1, {"b": "c"}]),
    ],
    ids=ascii,
)  # fmt: skip
def test_the_rest_is_as_it_looks(text, value):
    """Dates and keys are words, JSON may have tabs, quotes help, and a merge may be overridden."""
    assert value == parse_user_yaml(text)


def test_json_is_itself():
    """Whatever JSON can hold, whichever YAML would make of it."""
    content = {
        "no": "no",
        "0100": "0100",
        "big": 2**62,
        "small": 1e-7,
        "n": None,
        "s": "a: b # c",
        "é": ["鐘"],
    }

    assert content == parse_user_yaml(json.dumps(content, indent="\t"))
    assert content == parse_user_yaml(json.dumps(content, ensure_ascii=False))
