"""The import rules of ``app`` that import-linter's own contracts cannot express. See ``app/README.md``."""

from __future__ import annotations

from typing import cast

from grimp import ImportGraph
from importlinter import Contract, ContractCheck, output
from importlinter.domain.fields import ListField, StringField

COMPOSITION = frozenset({"app", "app.background", "app.retention", "app.web_server"})
"""Modules that join packages, as ``app.cli`` and the separate application ``app.demo`` do."""
WEB_NAMES = ("routes", "forms", "presenters", "listing", "page")


def package_of(module: str) -> str:
    """``orders`` for ``app.orders.queries``."""
    return module.split(".")[1] if "." in module else ""


def is_composition(module: str) -> bool:
    """Whether the module joins packages."""
    return module in COMPOSITION or package_of(module) in ("cli", "demo")


def is_web(module: str) -> bool:
    """Whether the module serves pages: routes, forms, presenters, lists, ``ui`` and ``accounts.access``."""
    name = module.rpartition(".")[2]
    return package_of(module) == "ui" or module == "app.accounts.access" or name.endswith(WEB_NAMES)


def is_routes(module: str) -> bool:
    """Whether the module holds views."""
    return module.rpartition(".")[2].endswith("routes")


class PackageRules(Contract):
    """Domain modules import downwards, and no web modules. Web modules import any domain module.

    Of the web, they import ``ui``, their own package, and forms and presenters of lower packages, so that
    each label exists once. Nothing imports routes.
    """

    type_name = "package_rules"
    layers = ListField(subfield=StringField())
    exceptions = ListField(subfield=StringField(), required=False)

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:
        """Compare every import of ``app`` with the rules."""
        # A contract holds the values of its fields under their names.
        layers, exceptions = cast("list[str]", self.layers), cast("list[str] | None", self.exceptions)
        ranks = {name.strip(): rank for rank, layer in enumerate(layers) for name in layer.split("|")}
        broken = []
        for importer in sorted(module for module in graph.modules if module.split(".")[0] == "app"):
            if is_composition(importer) or package_of(importer) == "migrations":
                continue
            for imported in sorted(graph.find_modules_directly_imported_by(importer)):
                line = f"{importer} -> {imported}"
                if imported.split(".")[0] == "app" and not self._allows(importer, imported, ranks):
                    broken += [] if line in (exceptions or ()) else [line]
        return ContractCheck(kept=not broken, metadata={"broken": broken})

    def render_broken_contract(self, check: ContractCheck) -> None:
        """Print the imports that break the rules."""
        for line in check.metadata["broken"]:
            output.print_error(line)

    @staticmethod
    def _allows(importer: str, imported: str, ranks: dict[str, int]) -> bool:
        if is_composition(imported):
            return False
        own, other = package_of(importer), package_of(imported)
        is_lower = other not in ranks or (own in ranks and ranks[own] < ranks[other])
        if is_routes(imported):
            return False
        if not is_web(imported):
            return own == other or is_web(importer) or is_lower
        if not is_web(importer):
            return False
        return own == other or other == "ui" or imported == "app.accounts.access" or is_lower
