"use strict";
// The page's own script: sends files, fills in what takes a moment, and follows a job.

const $ = (id) => document.getElementById(id);
const shown = (text) => text.length > 400 ? text.slice(0, 399) + "…" : text;

function say(host, text, className = "hint") {
  const node = document.createElement("p");
  node.className = className;
  node.textContent = text;
  host.replaceChildren(node);
}

async function fill(host, address) { // a part of the page, escaped by the server
  const answer = await fetch(address, { headers: { accept: "text/html" } });
  const parsed = new DOMParser().parseFromString(await answer.text(), "text/html");
  const part = parsed.querySelector("main") ?? parsed.body;
  host.replaceChildren(...[...part.childNodes].map((node) => document.adoptNode(node)));
  host.removeAttribute("aria-busy");
}

async function tell(host, answer) { // an error as a document
  let error = {};
  try { error = (await answer.json()).error; } catch { /* no document */ }
  say(host, `${error.message ?? "It could not be done"}. ${error.remedy ?? ""}`, "problem");
}

// --- a file that is chosen or dropped

function send(file) {
  const request = new XMLHttpRequest(); // it tells how much was sent
  request.open("PUT", "/files?name=" + encodeURIComponent(file.name));
  $("sent").hidden = false;
  $("sending").textContent = "Sending " + file.name;
  request.upload.onprogress = (event) => { if (event.lengthComputable) $("sent").value = (100 * event.loaded) / event.total; };
  request.onerror = () => { $("sending").textContent = "The file could not be sent: is the server still there?"; };
  request.onload = () => {
    if (request.status === 200) {
      location.href = "/table?file=" + encodeURIComponent(JSON.parse(request.responseText).file);
      return;
    }
    let error = {};
    try { error = JSON.parse(request.responseText).error; } catch { /* no document */ }
    $("sending").textContent = `${error.message ?? "The file could not be sent"}. ${error.remedy ?? ""}`;
  };
  request.send(file);
}

function dropping(zone) {
  $("upload").addEventListener("change", (event) => { if (event.target.files[0]) send(event.target.files[0]); });
  for (const name of ["dragover", "dragleave", "drop"]) {
    zone.addEventListener(name, (event) => {
      event.preventDefault();
      zone.classList.toggle("over", name === "dragover");
      if (name === "drop" && event.dataTransfer.files[0]) send(event.dataTransfer.files[0]);
    });
  }
}

// --- a table: what was understood, then the forecast at once

async function understand(host) {
  try {
    await fill(host, host.dataset.part);
  } catch {
    say(host, "The server does not answer: is it still running?", "problem");
    return;
  }
  const well = host.querySelector("[data-understood]") !== null;
  if ($("train")) $("train").disabled = !well;
  if (well) forecastAtOnce($("forecast"));
  else say($("forecast"), "First the table must be understood: see above.");
}

async function forecastAtOnce(host) {
  say(host, "Forecasting …", "hint busy");
  const remembered = "forecast " + host.dataset.start; // going back must not compute it again
  let job = sessionStorage.getItem(remembered);
  if (job === null || !(await fetch(`/job/${job}/numbers`)).ok) {
    const answer = await fetch(host.dataset.start, { method: "POST" });
    if (!answer.ok) { tell(host, answer); return; }
    job = (await answer.json()).job;
  }
  follow(`/job/${job}/events`, () => {}, async () => {
    await fill(host, `/job/${job}/numbers`);
    if (host.querySelector("[data-done]")) sessionStorage.setItem(remembered, job);
  });
}

function sendOnlyWhatIsGiven(form) {
  form.addEventListener("formdata", (event) => {
    for (const name of new Set(event.formData.keys())) {
      const values = event.formData.getAll(name).filter((value) => value !== "");
      event.formData.delete(name);
      for (const value of values) event.formData.append(name, value);
    }
  });
}

// --- a job while it works

function follow(address, heard, ended) {
  const source = new EventSource(address);
  source.onmessage = (event) => heard(JSON.parse(event.data));
  source.addEventListener("end", () => { source.close(); ended(); });
  source.onopen = () => away(false);
  source.onerror = () => away(true); // the browser tries again, from the last event that it has
}

function away(gone) {
  if ($("live")) $("away").hidden = !gone;
}

function watch(live) {
  const figures = { losses: [], bests: [], since: null };
  follow(live.dataset.events, (event) => {
    if (event.event === "stage") {
      $("h-live").textContent = shown(event.text);
      $("bar").value = 0;
      figures.since = null;
    }
    if (event.event === "progress") progress(event, figures);
    else note(event);
  }, () => location.reload());
}

function note(event) {
  const line = document.createElement("li");
  line.dir = "auto";
  line.textContent = shown((event.event === "warning" ? "look at: " : "") + event.text);
  $("log").append(line);
  $("log").scrollTop = $("log").scrollHeight;
}

function progress(event, figures) {
  const { done, total, seconds } = event;
  figures.since ??= [seconds, done];
  const [start, first] = figures.since;
  $("bar").max = total;
  $("bar").value = done;
  $("step").textContent = `${done.toLocaleString("en")} of ${total.toLocaleString("en")}`;
  const left = done > first ? ((seconds - start) / (done - first)) * (total - done) : null;
  $("left").textContent = left === null ? "–" : left < 60 ? `${Math.ceil(left)} s` : `${Math.ceil(left / 60)} min`;
  const { loss, best } = event.figures ?? {};
  if (Number.isFinite(loss)) { figures.losses.push([done, loss]); $("loss").textContent = loss.toPrecision(4); }
  if (Number.isFinite(best)) { figures.bests.push([done, best]); $("best").textContent = best.toPrecision(4); }
  draw(figures, total);
}

function draw({ losses, bests }, total) {
  const values = [...losses, ...bests].map((point) => point[1]);
  if (values.length < 2) return;
  const low = Math.min(...values), high = Math.max(...values), span = high - low || 1;
  const path = (points, name) => {
    const node = document.createElementNS("http://www.w3.org/2000/svg", "path");
    const step = Math.ceil(points.length / 400) || 1;
    const kept = points.filter((_, i) => i % step === 0 || i === points.length - 1);
    node.setAttribute("d", kept.map(([x, y], i) => `${i ? "L" : "M"}${((600 * x) / total).toFixed(1)} ${(132 - (124 * (y - low)) / span).toFixed(1)}`).join(""));
    node.setAttribute("class", name);
    return node;
  };
  $("curve").replaceChildren(path(losses, "loss"), path(bests, "best"));
}

if ($("drop")) dropping($("drop"));
if ($("correct") && innerWidth < 600 && $("correct").dataset.given === "0") $("correct").open = false;
if ($("settings")) sendOnlyWhatIsGiven($("settings"));
if ($("understood")) { $("train").disabled = true; understand($("understood")); }
if ($("live")) watch($("live"));
