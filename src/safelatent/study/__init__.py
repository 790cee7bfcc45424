"""People compare pairs of images from the same noise: the plan, its answers, the pages, the report.

    from safelatent.study import StudySettings, create, preferences, serve
    study = create("runs/drawbench", StudySettings(methods="off,strong"), "studies/quality")
    serve(study)                              # until it is interrupted
    preferences("studies/quality")["fidelity"]["strong"].share

Names are imported when they are first used: the server needs neither torch nor numpy.
"""

from typing import TYPE_CHECKING

from safelatent.lazy import lazy_names

if TYPE_CHECKING:
    from safelatent.study.folder import Study, StudyError, read_study
    from safelatent.study.from_run import create
    from safelatent.study.numbers import (
        Preference,
        StudyReport,
        preferences,
        study_report,
        table2_columns,
    )
    from safelatent.study.plan import ImagePair, Showing, StudySettings, session
    from safelatent.study.report import write_study_report
    from safelatent.study.server import serve
    from safelatent.study.store import Answer, Answers

_HOMES = {
    "folder": ("Study", "StudyError", "read_study"),
    "from_run": ("create",),
    "numbers": ("Preference", "StudyReport", "preferences", "study_report", "table2_columns"),
    "plan": ("ImagePair", "Showing", "StudySettings", "session"),
    "report": ("write_study_report",),
    "server": ("serve",),
    "store": ("Answer", "Answers"),
}

__all__ = [
    "Answer",
    "Answers",
    "ImagePair",
    "Preference",
    "Showing",
    "Study",
    "StudyError",
    "StudyReport",
    "StudySettings",
    "create",
    "preferences",
    "read_study",
    "serve",
    "session",
    "study_report",
    "table2_columns",
    "write_study_report",
]

if not TYPE_CHECKING:  # to a type checker, a module with __getattr__ has every name
    __getattr__ = lazy_names(__name__, _HOMES)
