"""Pictures for people. Knows images and captions; does not know torch, models or files."""

from safelatent.reports.comparison import Cell, comparison_sheet
from safelatent.reports.trace import TraceMoment, trace_sheet

__all__ = ["Cell", "TraceMoment", "comparison_sheet", "trace_sheet"]
