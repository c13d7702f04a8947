// Keys for the case page. Every key presses a button that is there without this script as well.
"use strict";

const answer = document.getElementById("answer");
const note = document.getElementById("note");
const keys = document.getElementById("keys");
const keysOn = document.getElementById("keys-on");
let sent = false;

keysOn.checked = localStorage.getItem("single keys") !== "off";
keysOn.addEventListener("change", () => {
  localStorage.setItem("single keys", keysOn.checked ? "on" : "off");
});

// A key held down, or pressed twice, must not answer the next case as well.
for (const form of document.forms) {
  form.addEventListener("submit", (event) => {
    if (form.method === "dialog") return;
    if (sent) event.preventDefault();
    sent = true;
  });
}
window.addEventListener("pageshow", () => { sent = false; });

note.addEventListener("keydown", (event) => {
  if (event.key === "Escape" || event.key === "Enter") {
    event.preventDefault();
    note.blur();
  }
});

document.addEventListener("keydown", (event) => {
  const inField = event.target.closest("input:not([type=checkbox]), textarea, select");
  if (inField || keys.open || event.repeat || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "?") {
    event.preventDefault();
    keys.showModal();
    return;
  }
  if (!keysOn.checked) return;
  if (event.key === "n") {
    event.preventDefault();
    note.focus();
  } else if (event.key === "z") {
    const undo = document.getElementById("undo");
    if (undo) undo.requestSubmit();
  } else {
    const button = answer.querySelector(`button[data-key="${CSS.escape(event.key)}"]`);
    if (button) answer.requestSubmit(button);
  }
});
