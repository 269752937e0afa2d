import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slurm_compat.core import hostlist
from slurm_compat.core.errors import BadValue

# text, its names, as given, sorted: recorded from scontrol show hostnames, hostlist, hostlistsorted of 26.05
CASES = [
    ("node[1-3,5],login", "node1 node2 node3 node5 login", "node[1-3,5],login", "login,node[1-3,5]"),
    ("n[01-03]x[1-2]", "n01x1 n01x2 n02x1 n02x2 n03x1 n03x2", "n01x[1-2],n02x[1-2],n03x[1-2]",
     "n01x[1-2],n02x[1-2],n03x[1-2]"),
    ("b2,a1,b1", "b2 a1 b1", "b2,a1,b1", "a1,b[1-2]"),
    ("node01,node03,node02", "node01 node03 node02", "node[01,03,02]", "node[01-03]"),
    ("n9,n10,n11", "n9 n10 n11", "n[9-11]", "n[9-11]"),
    ("n1,n1,n2", "n1 n1 n2", "n[1,1-2]", "n[1,1-2]"),
    ("x[1-2]y,x3y", "x1y x2y x3y", "x1y,x2y,x3y", "x1y,x2y,x3y"),
    ("a1b2,a1b3,a2b2", "a1b2 a1b3 a2b2", "a1b[2-3],a2b2", "a1b[2-3],a2b2"),
    ("n3,n[0-2]", "n3 n0 n1 n2", "n[3,0-2]", "n[0-3]"),
    ("n3,n0,n1,n2,n00,n01,n10,n09", "n3 n0 n1 n2 n00 n01 n10 n09", "n[3,0-2,00-01,10,09]", "n[0-3,00-01,09-10]"),
    ("n10,n9,n0,n8", "n10 n9 n0 n8", "n[10,9,0,8]", "n[0,8-10]"),
    ("foo,bar", "foo bar", "foo,bar", "bar,foo"),
]  # fmt: skip


@pytest.mark.parametrize("text, names, given, ordered", CASES)
def test_host_lists_as_scontrol_shows_them(text, names, given, ordered):
    assert hostlist.expand(text) == names.split()
    assert hostlist.compress_as_given(names.split()) == given
    assert hostlist.compress_sorted(names.split()) == ordered


@pytest.mark.parametrize("text", ["n[3-1]", "n[1-", "n[a-b]", "n[[1]]", "n[0-9999999]", "n[1-300][1-300]"])
def test_what_is_no_host_list_is_refused(text):
    with pytest.raises(BadValue):
        hostlist.expand(text)


names = st.lists(st.from_regex(r"\A[a-z]{1,3}[0-9]{0,3}\Z"), max_size=30)


@given(names)
def test_expanding_what_was_compressed_gives_the_names(hosts):
    assert hostlist.expand(hostlist.compress_as_given(hosts)) == hosts
    assert sorted(hostlist.expand(hostlist.compress(hosts))) == sorted(set(hosts))


@given(st.text(alphabet="n[]-,0123 ", max_size=12))
def test_any_text_is_read_or_refused(text):
    with contextlib.suppress(BadValue):
        hostlist.expand(text)
