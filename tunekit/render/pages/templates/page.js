"use strict";
(() => {
  const tip = document.getElementById("tip");
  const all = (what, within = document) => [...within.querySelectorAll(what)];

  const say = (text, box) => {
    tip.textContent = text;
    tip.hidden = false;
    const left = Math.min(Math.max(8, box.left + box.width / 2 - tip.offsetWidth / 2), innerWidth - tip.offsetWidth - 8);
    const above = box.top - tip.offsetHeight - 8;
    tip.style.left = `${left}px`;
    tip.style.top = `${above < 8 ? box.bottom + 8 : above}px`;
  };
  const hush = () => { tip.hidden = true; };

  // The pictures' own words show at once here, so the browser's slow ones are taken away.
  for (const title of all("svg title")) {
    title.parentElement.dataset.said = title.textContent;
    title.remove();
  }

  const light = (figure, part) => {
    for (const each of all("[data-part]", figure)) {
      each.classList.toggle("dimmed", part !== null && each.dataset.part !== part);
    }
  };
  for (const figure of all(".chart")) {
    figure.addEventListener("pointerover", (event) => {
      const one = event.target.closest("[data-part]");
      light(figure, one ? one.dataset.part : null);
      one && one.dataset.said ? say(one.dataset.said, one.getBoundingClientRect()) : hush();
    });
    figure.addEventListener("pointerleave", () => { light(figure, null); hush(); });
  }
  for (const track of all(".track")) {
    const parts = all("rect", track);
    let at = -1;
    const go = (to) => {
      at = (to + parts.length) % parts.length;
      light(track.closest("figure"), parts[at].dataset.part);
      say(parts[at].dataset.said, parts[at].getBoundingClientRect());
    };
    track.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (step && parts.length) { event.preventDefault(); go(at < 0 && step < 0 ? -1 : at + step); }
    });
    track.addEventListener("blur", () => { at = -1; light(track.closest("figure"), null); hush(); });
  }

  for (const figure of all(".scatter")) {
    const points = all(".point", figure);
    const cards = all(".plan-card", figure);
    const start = points.findIndex((point) => point.classList.contains("recommended"));
    let kept = Math.max(0, start);
    const show = (plan) => {
      points.forEach((point, index) => point.classList.toggle("chosen", index === plan));
      cards.forEach((card, index) => { card.hidden = index !== plan; });
    };
    const keep = (plan) => {
      kept = (plan + points.length) % points.length;
      points.forEach((point, index) => { point.tabIndex = index === kept ? 0 : -1; });
      show(kept);
    };
    points.forEach((point, index) => {
      point.addEventListener("pointerenter", () => { show(index); say(point.dataset.said, point.getBoundingClientRect()); });
      point.addEventListener("pointerleave", () => { show(kept); hush(); });
      point.addEventListener("click", () => keep(index));
      point.addEventListener("focus", () => keep(index));
      point.addEventListener("keydown", (event) => {
        const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
        if (step) { event.preventDefault(); keep(index + step); points[kept].focus(); }
      });
    });
    keep(kept);
  }

  const put = async (text, pre) => {
    try { await navigator.clipboard.writeText(text); return true; } catch { /* no permission: the old way */ }
    getSelection().selectAllChildren(pre);
    return document.execCommand("copy");
  };
  for (const button of all(".copy-button")) {
    button.hidden = false;
    button.setAttribute("aria-live", "polite");
    button.addEventListener("click", async () => {
      const pre = button.closest(".copy").querySelector("pre");
      const done = await put(pre.textContent, pre);
      button.textContent = done ? "Copied" : "Selected: press Ctrl-C";
      setTimeout(() => { button.textContent = "Copy"; }, 2000);
    });
  }
})();
