"""What surrounds the package says the same everywhere: versions, dependencies, the files of the source distribution."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
CONDA_NAMES = {"matplotlib": "matplotlib-base", "torch": "pytorch"}


def bounds(requirement: str) -> tuple[str, str]:
    """Name and bounds of a requirement."""
    name, limits = re.fullmatch(r"([A-Za-z0-9_-]+)\s*(.*)", requirement).groups()  # type: ignore[union-attr]
    return name, limits


def test_the_conda_recipe_asks_for_the_same_packages() -> None:
    recipe = yaml.safe_load((ROOT / "packaging" / "conda" / "meta.yaml").read_text("utf-8"))
    python = {"python": PROJECT["project"]["requires-python"]}
    wanted = dict(map(bounds, recipe["requirements"]["run"]))
    ours = dict(map(bounds, PROJECT["project"]["dependencies"]))
    assert wanted == {CONDA_NAMES.get(name, name): limits for name, limits in ours.items()} | python
    tools = dict(map(bounds, PROJECT["build-system"]["requires"]))
    assert dict(map(bounds, recipe["requirements"]["host"])) == tools | python | {"pip": ""}


def test_the_conda_recipe_describes_the_same_package() -> None:
    recipe = yaml.safe_load((ROOT / "packaging" / "conda" / "meta.yaml").read_text("utf-8"))
    project = PROJECT["project"]
    assert recipe["package"] == {"name": project["name"], "version": project["version"]}
    assert recipe["build"]["entry_points"] == [f"{name} = {target}" for name, target in project["scripts"].items()]
    about = recipe["about"]
    assert (about["license"], about["summary"]) == (project["license"], project["description"])
    assert about["home"] == project["urls"]["Homepage"]
    assert (ROOT / about["license_file"]).exists()
    assert (ROOT / "packaging" / "conda" / recipe["source"]["path"] / "pyproject.toml").exists()


@pytest.mark.parametrize("file", ["packaging/Dockerfile", "docs/tutorial.md"])
def test_torch_for_the_cpu_is_one_that_the_package_takes(file: str) -> None:
    """Otherwise pip would put another in its place, with CUDA."""
    (asked,) = re.findall(r"install .*['\"](torch\S*)['\"] --index-url", (ROOT / file).read_text("utf-8"))
    _, below = dict(map(bounds, PROJECT["project"]["dependencies"]))["torch"].split(",")
    assert asked == f"torch{below}"


def test_the_image_has_all_that_is_built() -> None:
    """The package, what is put into it, and the files that its metadata is made of."""
    lines = (ROOT / "packaging" / "Dockerfile").read_text("utf-8").splitlines()
    copied = {name for line in lines if line.startswith("COPY ") for name in line.split()[1:-1]}
    wheel = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]
    readme = {one["path"] for one in PROJECT["tool"]["hatch"]["metadata"]["hooks"]["fancy-pypi-readme"]["fragments"]}
    assert copied == {
        "pyproject.toml",
        *wheel["packages"],
        *wheel["force-include"],
        *PROJECT["project"]["license-files"],
        *readme,
    }
    assert all((ROOT / name).exists() for name in copied)
    (base,) = [line.removeprefix("FROM python:") for line in lines if line.startswith("FROM ")]
    assert f"Programming Language :: Python :: {base.removesuffix('-slim')}" in PROJECT["project"]["classifiers"]


def test_versions_agree() -> None:
    version = PROJECT["project"]["version"]
    assert f"version: {version}" in (ROOT / "CITATION.cff").read_text("utf-8")


def test_the_locked_versions_are_within_the_bounds() -> None:
    lines = (ROOT / "packaging" / "tests.txt").read_text("utf-8").splitlines()
    locked = dict(re.fullmatch(r"([a-z0-9-]+)==([^ ]+)", line).groups() for line in lines if not line.startswith("#"))  # type: ignore[union-attr]
    wanted = [*PROJECT["project"]["dependencies"], *PROJECT["project"]["optional-dependencies"]["dev"]]
    for name, limits in map(bounds, wanted):
        assert SpecifierSet(limits).contains(locked[name]), name


def test_links_of_the_readme_are_absolute_on_the_package_index() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    for rule in PROJECT["tool"]["hatch"]["metadata"]["hooks"]["fancy-pypi-readme"]["substitutions"]:
        text = re.sub(rule["pattern"], rule["replacement"], text)
    links = re.findall(r"\]\(([^)]+)\)", text)
    assert len(links) > 10
    assert [link for link in links if not link.startswith("https://")] == []
    assert "](https://raw.githubusercontent.com/pdekan/pdekan/main/outputs/figures/poisson_kan_paper.png)" in text
