"""What a package needs, out of its metadata."""

from __future__ import annotations

from packages import install

from gapcast.engine.extras import cure, requirements


def lay_down(site, *requires, extras=("mq", "all")):
    install(site, "acme", "1.0", {}, requires=requires, extras=extras)


def test_requirements_come_by_extra_with_names_as_indexes_compare_them(site):
    lay_down(
        site,
        "NumPy>=2.0", "Ruamel_YAML", "far @ https://there.example/far.zip",
        'Queue.9[fast]>=2,<3; extra == "mq"', "acme[mq]; extra == 'all'",
    )  # fmt: skip
    assert requirements("Acme") == {
        "": ["numpy", "ruamel-yaml", "far"], "mq": ["queue-9"], "all": ["acme"],
    }  # fmt: skip


def test_what_another_python_or_system_needs_is_not_needed_here(site):
    lay_down(
        site,
        'old; python_version < "3"', 'new; python_version >= "3"',
        'queue; extra == "mq" and python_version >= "3"', 'tin; extra == "mq" and os_name == "x"',
        'both; extra == "mq" or extra == "all"',
    )  # fmt: skip
    assert requirements("acme") == {"": ["new"], "mq": ["queue", "both"], "all": ["both"]}


def test_a_line_that_is_no_requirement_costs_itself_only(site):
    lay_down(site, "===", "numpy >> 2", 'odd; python_version >= "?"', "numpy")
    assert requirements("acme") == {"": ["numpy"]}


def test_a_missing_module_is_cured_by_the_extra_it_comes_with(site):
    lay_down(site, 'Queue.9; extra == "mq"', "acme[mq]; extra == 'all'")
    missing = ModuleNotFoundError("No module named 'queue_9.deep'", name="queue_9.deep")
    assert cure(missing, "acme") == "; pip install 'acme[mq]'"
    assert cure(missing, "") == ""
    assert cure(ModuleNotFoundError("other", name="other"), "acme") == ""
    assert cure(ImportError("cannot import name 'x'", name="queue_9"), "acme") == ""
