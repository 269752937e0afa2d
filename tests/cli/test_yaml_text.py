# ruff: noqa: E501  (the lines are as they were recorded)
"""Texts in YAML as libyaml writes them: a case is a job's comment, and the lines of scontrol --yaml of 26.05."""

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from slurm_compat.cli.jsonwrite import yaml_text
from slurm_compat.cli.yamltext import text_lines

# fmt: off
RECORDED = [
        ('it\'s "quoted": #x and more words to fold here and there  double  spaces at the end of it  ',
         '  !!str comment: !!str \'it\'\'s "quoted": #x and more words to fold here and there  double  spaces\n    at the end of it  \''),
        ('xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx and more words to fold here and there and some more words for the line to be folded a second time ok',
         '  !!str comment: !!str xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\n    and more words to fold here and there and some more words for the line to be folded\n    a second time ok'),
        ('two\nlines and more',
         "  !!str comment: !!str 'two\n\n    lines and more'"),
        (' lead',
         "  !!str comment: !!str ' lead'"),
        ('true',
         '  !!str comment: !!str true'),
        ('null ~',
         '  !!str comment: !!str null ~'),
        ('trail ',
         "  !!str comment: !!str 'trail '"),
        ('a\ttab',
         '  !!str comment: !!str "a\\ttab"'),
        ('a: b',
         "  !!str comment: !!str 'a: b'"),
        ('a #b',
         "  !!str comment: !!str 'a #b'"),
        ('é ü',
         '  !!str comment: !!str "\\xE9 \\xFC"'),
        ('- x',
         "  !!str comment: !!str '- x'"),
        ('{x}',
         "  !!str comment: !!str '{x}'"),
        ("'single quote that is very long so that it must be folded somewhere past the width of eighty'",
         "  !!str comment: !!str '''single quote that is very long so that it must be folded\n    somewhere past the width of eighty'''"),
        ('[a',
         "  !!str comment: !!str '[a'"),
        ('%x',
         "  !!str comment: !!str '%x'"),
        ('@x',
         "  !!str comment: !!str '@x'"),
        ('! x',
         "  !!str comment: !!str '! x'"),
        ('?',
         "  !!str comment: !!str '?'"),
        ('? x',
         "  !!str comment: !!str '? x'"),
        ('-',
         "  !!str comment: !!str '-'"),
        ('--- x',
         "  !!str comment: !!str '--- x'"),
        ('...',
         "  !!str comment: !!str '...'"),
        ('a, b',
         '  !!str comment: !!str a, b'),
        ("[x] y: z # and it's long enough to be folded in single quotes past eighty columns, is it",
         "  !!str comment: !!str '[x] y: z # and it''s long enough to be folded in single quotes\n    past eighty columns, is it'"),
        ('multi\n\nline with blank\nand a rather long line that will be folded somewhere because of its sheer length',
         "  !!str comment: !!str 'multi\n\n\n    line with blank\n\n    and a rather long line that will be folded somewhere because of its sheer length'"),
        ('\x01ctl and a long text that will be folded in double quotes as well somewhere past eighty columns',
         '  !!str comment: !!str "\\x01ctl and a long text that will be folded in double quotes\n    as well somewhere past eighty columns"'),
        ('\xa0nbsp',
         '  !!str comment: !!str "\\_nbsp"'),
        ('emoji 😀',
         '  !!str comment: !!str "emoji \\U0001F600"'),
        ('',
         '  !!str comment: !!str'),
        ('12',
         '  !!str comment: !!str 12'),
        ('1.5',
         '  !!str comment: !!str 1.5'),
        ('=',
         '  !!str comment: !!str ='),
        ('<<',
         '  !!str comment: !!str <<'),
        ('y',
         '  !!str comment: !!str y'),
]
# fmt: on


@pytest.mark.parametrize("text, lines", RECORDED)
def test_as_recorded(text, lines):
    assert "\n".join(text_lines(text, "    ", "  !!str comment: !!str")) == lines


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=120))
def test_any_text_is_read_back(text):
    assert yaml.safe_load(yaml_text({"jobs": [{"comment": text}]})) == {"jobs": [{"comment": text}]}
