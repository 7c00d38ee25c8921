// Pages work without this. It keeps a campaign's progress fresh, says that a button was pressed, and copies a message.
"use strict";

document.addEventListener("submit", (event) => {
  const form = event.target, busy = form.dataset.busy, button = event.submitter || form.querySelector("button");
  if (form.dataset.sent) { event.preventDefault(); return; }
  if (!busy || !button) return;
  form.dataset.sent = "yes";
  button.setAttribute("aria-disabled", "true");
  button.textContent = busy;
});

for (const button of document.querySelectorAll("[data-copy]")) {
  if (!navigator.clipboard) continue;
  button.hidden = false;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).innerText);
    button.textContent = button.dataset.copied;
  });
}

async function refresh() {
  const live = document.querySelector("[data-refresh]");
  if (!live) return;
  const wait = Number(live.dataset.refresh) * 1000;
  if (!document.hidden && !live.contains(document.activeElement)) {
    try {
      const answer = await fetch(location.href, {redirect: "error", headers: {"X-Adtokens-Refresh": "yes"}});
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById(live.id);
      if (answer.ok && fresh) live.replaceWith(document.adoptNode(fresh));
    } catch { return; } // signed out, or the network is gone: the next click says so
  }
  setTimeout(refresh, wait);
}
const live = document.querySelector("[data-refresh]");
if (live) setTimeout(refresh, Number(live.dataset.refresh) * 1000);

if (location.hash === "#result") document.getElementById("result")?.focus();
