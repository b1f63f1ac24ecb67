"""The report of a study: its findings, tables and figures on one HTML page."""

from __future__ import annotations

from pathlib import Path

from pdekan.output import findings_figures, findings_file, report_page, study_figures, study_file, study_table, tables
from pdekan.output.report_page import Section, paragraph
from pdekan.output.tables import Table
from pdekan.studies.folder import failed


def study_report(file: Path) -> str:
    """The page of the study in a file. Raises OutputError where there is none."""
    if findings_file.kind(file) == findings_file.KIND:
        heading, findings = findings_file.read(file)
        lead = paragraph(f"Source: {heading.source}", "soft") + "".join(map(paragraph, findings.sentences))
        figures = "".join(report_page.drawing(findings_figures.draw(one), one.title or one.name) for one in findings.pictures)
        return _page(heading.title, lead, figures, tuple(tables.table(one) for one in findings.tables), heading.command)
    study = study_file.read(file)
    figures = ""
    if not all(map(failed, study.runs)):
        figures = report_page.drawing(study_figures.scaling(study), "Mean square errors against the size of the network")
        figures += report_page.drawing(study_figures.seconds(study), "Least errors against seconds of training")
    return _page(
        study.title or study.name, "", figures, study_table.tables(study) + study_table.comparisons(study), study.command
    )


def _page(title: str, lead: str, figures: str, results: tuple[Table, ...], command: str) -> str:
    sections = [Section("Figures", figures)] if figures else []
    sections += [Section(one.title, report_page.table(one.header, one.rows)) for one in results]
    sections.append(Section("Reproduce", report_page.code(command, "command")))
    return report_page.page(title, lead, sections)
