"use strict";
const all = (selector, root = document) => [...root.querySelectorAll(selector)];

// Sorting: up, down, and the table's own order again. What has no value comes last either way.
for (const table of all("table.sortable")) {
  const body = table.tBodies[0];
  const own = [...body.rows];
  const headers = [...table.tHead.rows[0].cells];
  const after = { none: "ascending", ascending: "descending", descending: "none" };
  const value = (row, column) => row.cells[column].dataset.value;
  headers.forEach((header, column) => {
    header.querySelector("button").addEventListener("click", () => {
      const next = after[header.ariaSort ?? "none"];
      headers.forEach((other) => { other.ariaSort = other === header ? next : "none"; });
      const sign = next === "descending" ? -1 : 1;
      const compare = (first, second) => {
        const [a, b] = [value(first, column), value(second, column)];
        if (a === "" || b === "") return (a === "") - (b === "");
        return sign * (column === 0 ? a.localeCompare(b) : a - b);
      };
      body.append(...(next === "none" ? own : own.toSorted(compare)));
    });
  });
}
