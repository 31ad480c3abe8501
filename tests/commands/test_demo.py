"""`make demo` without the installation, on a machine where nothing runs yet."""


def test_every_check_of_the_demo_holds(empty):
    assert "Every check holds." in empty.run("python -m marketplace.local.demo")
