"""Pictures for people, and the report of a run. Knows images, captions and numbers; does not know torch or models."""

from safelatent.reports.comparison import Cell, comparison_sheet
from safelatent.reports.report import Report, report_of
from safelatent.reports.table1 import Table1, table1
from safelatent.reports.trace import TraceMoment, trace_sheet
from safelatent.reports.write import write_report

__all__ = ["Cell", "Report", "Table1", "TraceMoment", "comparison_sheet", "report_of", "table1", "trace_sheet", "write_report"]
