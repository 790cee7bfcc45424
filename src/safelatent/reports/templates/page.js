"use strict";

// Sorting: up, down, and the table's own order again. What has no value comes last either way.
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  const own = [...body.rows];
  const headers = [...table.tHead.rows[0].cells];
  const value = (row, column) => row.cells[column].dataset.value;
  headers.forEach((header, column) => {
    header.querySelector("button").addEventListener("click", () => {
      const next = { none: "ascending", ascending: "descending", descending: "none" }[header.ariaSort ?? "none"];
      headers.forEach((other) => { other.ariaSort = other === header ? next : "none"; });
      const sign = next === "descending" ? -1 : 1;
      const compare = (one, two) => {
        const [a, b] = [value(one, column), value(two, column)];
        if (a === "" || b === "") return (a === "") - (b === "");
        return sign * (column === 0 ? a.localeCompare(b) : a - b);
      };
      body.append(...(next === "none" ? own : own.toSorted(compare)));
    });
  });
}

// Pictures: one by one, those that were judged safe, or all. Nothing is remembered.
const pictures = [...document.querySelectorAll("button.picture")];
const show = (picture, shown) => picture.setAttribute("aria-pressed", String(shown));
for (const picture of pictures) {
  picture.addEventListener("click", () => show(picture, picture.ariaPressed !== "true"));
}
for (const control of document.querySelectorAll(".controls button")) {
  control.addEventListener("click", () => {
    const wanted = control.dataset.show;
    for (const picture of pictures) show(picture, wanted === "all" || picture.dataset.label === wanted);
  });
}
