// Puts what moves in its place. Without this the page is read again every ten seconds, and says the same.
"use strict";

const feed = document.getElementById("feed");
const SILENT_MS = 6000;
const RETRY_MS = 5000;
const waiting = {};
let heard = 0;

function say(state, text) {
  if (feed.dataset.state === state) return;
  feed.dataset.state = state;
  feed.textContent = text;
}

function show(sections) {
  Object.assign(waiting, sections);
  const marked = window.getSelection();
  for (const [name, html] of Object.entries(waiting)) {
    const place = document.getElementById(name);
    if (place && !marked.isCollapsed && marked.containsNode(place, true)) continue; // somebody copies from it
    if (place) place.innerHTML = html;
    delete waiting[name];
  }
}

function listen() {
  const events = new EventSource("/events" + window.location.search);
  events.onmessage = (event) => {
    heard = Date.now();
    say("live", "Connected");
    show(JSON.parse(event.data));
  };
  events.onerror = () => {
    say("lost", "Not connected, what is shown is old");
    if (events.readyState === EventSource.CLOSED) window.setTimeout(listen, RETRY_MS);
  };
}

window.setInterval(() => {
  if (heard && Date.now() - heard > SILENT_MS) say("lost", "Nothing heard, what is shown is old");
}, 1000);
listen();
