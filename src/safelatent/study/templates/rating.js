"use strict";
// Arrow keys answer the question that has the focus, or else the first one that is unanswered.
// Enter then sends the form. Without this script the page's own controls do the same.
const form = document.querySelector("form");
const questions = [...form.querySelectorAll("fieldset")];
const answered = (question) => question.querySelector(":checked") !== null;
const next = form.querySelector("button");
const reveal = document.getElementById("reveal");
const choices = { ArrowLeft: "left", ArrowDown: "same", ArrowRight: "right" };

document.addEventListener("keydown", (event) => {
  if (event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
  if (event.key === "ArrowUp" && reveal) {
    event.preventDefault();
    reveal.checked = !reveal.checked;
  }
  const value = choices[event.key];
  if (!value) return;
  event.preventDefault();
  const focused = document.activeElement?.closest("fieldset");
  const question = focused ?? questions.find((one) => !answered(one)) ?? questions.at(-1);
  const input = question.querySelector(`[value="${value}"]`);
  input.checked = true;
  const open = questions.find((one) => !answered(one));
  (open ? open.querySelector("input") : next).focus({ preventScroll: true });
});

// A second press on the button, or a second Enter, sends nothing.
let sent = false;
form.addEventListener("submit", (event) => {
  if (sent) event.preventDefault();
  sent = true;
});
addEventListener("pageshow", () => { sent = false; });
