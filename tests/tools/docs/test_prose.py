"""The check of the project's language by the rules in ``prose.toml``."""

from textwrap import dedent

import pytest

from tools.docs.prose import PROJECT, Rules, Size, check, load_rules, main

pytestmark = pytest.mark.project

RULES = Rules(instead_of={"nobody": "name the actor"}, words_in_a_sentence=6, not_rewritten=[])


def faults(folder, name, text, rules=RULES):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(dedent(text))
    return [fault.removeprefix(f"{name}:") for fault in check([path], rules, root=folder)]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("# One\n\nTwo.\nNobody knows.", 3),
        ("| a |\n|---|\n| nobody |", 3),
        ("- one;\n- two", 1),
        ("One two three four five six seven.", 1),
        ("One two `three` four five six seven.", 1),
    ],
)
def test_markdown_that_breaks_a_rule_is_reported_by_line(tmp_path, text, line):
    [fault] = faults(tmp_path, "page.md", text)
    assert fault.startswith(f"{line}: ")


@pytest.mark.parametrize(
    "text",
    [
        "Run `nobody; else`:\n\n```sh\nnobody; nobody\n```",
        "One two three four. Five six seven eight.",
        "One two three four · five six seven eight",
        "One:\n\n> Nobody knows; one two three four five.\n\n- two\n\n  > Nobody knows.",
    ],
)
def test_markdown_that_follows_the_rules_is_accepted(tmp_path, text):
    assert faults(tmp_path, "page.md", text) == []


def test_python_is_checked_in_docstrings_comments_and_test_names(tmp_path):
    source = '''
        """Return what
        nobody knows."""

        #: Nobody; a comment of any number of words is accepted here.
        nobody = "nobody; in a string"


        def test_nobody_logs_in():
            """Do.

            Args:
                first: one two three four.
                second: one; ``nobody; here``.

            """
    '''
    assert [fault.partition(":")[0] for fault in sorted(faults(tmp_path, "module.py", source))] == ["14", "2", "5", "9"]


def test_html_is_checked_in_texts_attributes_and_comments(tmp_path):
    source = """
        <!-- Nobody; of any number of words is accepted here. -->
        <style>.nobody { color: red; }</style>
        <p>One two <a href="nobody;">three</a>
          <code>nobody; here</code> four five six.</p>
        <p>One.</p> <p>Two;</p>
        <input placeholder="nobody" value="nobody"><meta name="description" content="Nobody.">
        A text without an end: nobody
    """
    found = [fault.partition(":")[0] for fault in faults(tmp_path, "page.html", source)]
    assert sorted(found) == ["2", "4", "6", "7", "7", "8"]


def test_scripts_are_checked_in_comments_and_literals_of_several_words(tmp_path):
    source = r"""
        // Nobody; here
        const nobody = "nobody";  /* Nobody. */
        const pattern = /"nobody knows"/;
        say("One; two.", 'nobody knows');
        say("one two; three");
        say("One two three " +
          "four five six seven.");
        say(`One two ${nobody("nobody knows")} four five six seven.`);
        say("Run `nobody; else` now.");
        say("256 bits; done. Two.");
    """
    found = [fault.partition(":")[0] for fault in faults(tmp_path, "script.js", source)]
    assert sorted(found, key=int) == ["2", "3", "5", "5", "7", "9", "11"]


def test_file_in_the_list_is_reported_once_it_follows_the_rules(tmp_path):
    listed = Rules({"nobody": "name the actor"}, 6, ["page.md"])
    assert faults(tmp_path, "page.md", "Nobody.", listed) == []
    assert len(faults(tmp_path, "page.md", "The attacker.", listed)) == 1


@pytest.mark.parametrize(("limit", "count"), [(Size(2, 8), 0), (Size(1, 8), 1), (Size(2, 7), 1)])
def test_file_larger_than_its_limit_is_reported(tmp_path, limit, count):
    limited = Rules({}, 6, [], sizes={"page.md": limit})
    assert len(faults(tmp_path, "page.md", "One\nTwo\n", limited)) == count
    assert faults(tmp_path, "other.md", "One\nTwo\nThree\n", limited) == []


@pytest.mark.parametrize("arguments", [pytest.param([], marks=pytest.mark.thorough), ["README.md", "template.yaml"]])
def test_file_with_a_fault_fails_the_check(capsys, monkeypatch, arguments):
    monkeypatch.setattr("tools.docs.prose.load_rules", lambda _: Rules({"the": "a"}, 35, []))
    assert main(arguments) == 1
    assert "README.md:" in capsys.readouterr().out


def test_rules_of_the_project_can_be_read():
    rules = load_rules(PROJECT / "prose.toml")
    assert [name for name in (*rules.not_rewritten, *rules.sizes) if not (PROJECT / name).exists()] == []
