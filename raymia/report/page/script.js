"use strict";
(() => {
  const live = JSON.parse(document.getElementById("live").textContent);
  const by = (id) => document.getElementById(id);
  const svgs = [...document.querySelectorAll("svg.live")];

  // ---- the answer: decision.py once more, word for word
  const first = (options) => [...options].sort(
    (a, b) => b.accuracy - a.accuracy || a.highest - b.highest || a.trial - b.trial)[0] || null;
  const confirmed = (one) => one.seeds === null
    ? "These numbers are not confirmed: they are those of the search that chose them."
    : `These numbers are confirmed with fresh seeds: ${one.seeds} of them.`;
  function answer(options, measure, most, least) {
    const told = (one) => `${one.name} (accuracy ${one.accuracy_text}, ${measure} ` +
      `${one.privacy_text}, at most ${one.highest_text})${one.cost}`;
    const bare = options.find((one) => one.bare);
    const start = bare
      ? `Without defense: accuracy ${bare.accuracy_text}, ${measure} ${bare.privacy_text}.`
      : "No network without defense is more accurate than a constant answer.";
    if (!options.length) return [[start], null];
    const bars = `${measure} ${most.toFixed(3)}` +
      (least > 0 ? ` with accuracy ${least.toFixed(3)}` : "");
    const enough = options.filter((one) => one.accuracy >= least);
    const found = first(enough.filter((one) => one.highest <= most));
    if (!found) {
      const near = [...(enough.length ? enough : options)].sort(
        (a, b) => a.highest - b.highest || b.accuracy - a.accuracy)[0];
      return [[start, `No trained point reaches ${bars}.`, `The nearest is ${told(near)}.`,
        confirmed(near)], near.trial];
    }
    const said = [start, found.bare
      ? `It reaches ${bars} as it is: no defense is needed for that.`
      : `To reach ${bars} take ${told(found)}.`, confirmed(found)];
    const close = first(enough.filter((one) =>
      one.privacy <= most && most < one.highest && one.accuracy > found.accuracy));
    if (close) said.push(`By the number alone ${close.name} (accuracy ${close.accuracy_text}, ` +
      `${measure} ${close.privacy_text}) would do, but the upper end of its interval, ` +
      `${close.highest_text}, is above the bar.`);
    return [said, found.trial];
  }
  window.raymia = { answer: (most, least) => answer(live.options, live.measure, most, least) };

  // ---- the card of a point
  const made = (tag, text) => {
    const node = document.createElement(tag);
    node.textContent = text;
    return node;
  };
  const yaml = (trial) => trial in live.yaml.own
    ? `${live.yaml.first}${trial}\n` + live.yaml.head + live.yaml.own[trial] + live.yaml.tail : "";
  function show(trial) {
    const card = by("card"), list = document.createElement("dl");
    if (trial === null || !(trial in live.cards)) return;
    for (const [label, text] of live.cards[trial]) {
      const pair = document.createElement("div");
      pair.append(made("dt", live.labels[label]), made("dd", text));
      list.append(pair);
    }
    card.replaceChildren(made("h3", `Trial ${trial}: ${live.names[trial]}`), list);
    const text = yaml(trial);
    if (text) {
      const line = document.createElement("p"), button = made("button",
        "Copy the sweep file that trains this point alone"), done = made("span", "");
      button.type = "button";
      button.id = "copy";
      done.id = "copied";
      done.setAttribute("role", "status");
      const pre = made("pre", text);
      pre.id = "yaml";
      pre.tabIndex = 0;
      pre.setAttribute("aria-label", "The sweep file that trains this point alone");
      line.append(button, " ", done);
      card.append(line, pre);
    }
    for (const mark of document.querySelectorAll(".live .mark"))
      mark.classList.toggle("on", mark.dataset.trial === String(trial));
  }
  async function copy() {
    const pre = by("yaml"), range = document.createRange();
    try {
      await navigator.clipboard.writeText(pre.textContent);
    } catch {
      range.selectNodeContents(pre);
      getSelection().removeAllRanges();
      getSelection().addRange(range);
      document.execCommand("copy");
    }
    by("copied").textContent = "copied; save it as a file and: raymia run FILE";
  }
  by("card").addEventListener("click", (event) => {
    if (event.target.id === "copy") copy();
  });

  // ---- the bars
  const most = by("most"), least = by("least");
  let shown = null;
  const rect = (svg, name, sizes) => {
    for (const node of svg.getElementsByClassName(name))
      for (const [key, value] of Object.entries(sizes)) node.setAttribute(key, value);
  };
  function moved() {
    const high = Number(most.value), low = Number(least.value);
    by("most-said").textContent = high.toFixed(3);
    by("least-said").textContent = low > 0 ? low.toFixed(3) : "any";
    const [said, trial] = answer(live.options, live.measure, high, low);
    by("answer").replaceChildren(...said.map((one) => made("p", one)));
    if (trial !== shown) show(shown = trial);
    for (const svg of svgs) {
      const at = (scale, value) => {
        const [a, b, start, end] = scale.split(" ").map(Number);
        return start + (end - start) * Math.min(Math.max((value - a) / (b - a), 0), 1);
      };
      const [, , bottom, top] = svg.dataset.y.split(" ").map(Number);
      const left = Number(svg.dataset.x.split(" ")[2]);
      rect(svg, "most", { height: at(svg.dataset.y, high) - top });
      rect(svg, "least", { width: at(svg.dataset.x, low) - left, height: bottom - top });
    }
  }
  most.addEventListener("input", moved);
  least.addEventListener("input", moved);

  // ---- points: hover and focus show, click keeps
  let kept = null;
  const trialOf = (event) => event.target.closest(".live .mark")?.dataset.trial;
  for (const svg of svgs) {
    svg.addEventListener("pointerover", (event) => trialOf(event) && show(Number(trialOf(event))));
    svg.addEventListener("pointerleave", () => show(kept ?? shown));
    svg.addEventListener("focusin", (event) => trialOf(event) && show(Number(trialOf(event))));
    svg.addEventListener("click", (event) => {
      if (trialOf(event)) show(kept = Number(trialOf(event)));
    });
    svg.addEventListener("keydown", (event) => {
      if (!trialOf(event)) return;
      if (event.key === "Enter" || event.key === " ") {
        event.preventDefault();
        show(kept = Number(trialOf(event)));
        by("card").scrollIntoView({ block: "nearest" });
      }
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (step) {
        const all = [...svg.querySelectorAll(".mark[tabindex]")].sort(
          (a, b) => a.getBoundingClientRect().x - b.getBoundingClientRect().x);
        all[all.indexOf(event.target) + step]?.focus();
        event.preventDefault();
      }
    });
  }

  // ---- what is declared: declared.py once more
  function combined(tpr, fpr, prior, people) {
    const found = people * tpr, accused = people * (1 - prior) / prior * fpr;
    const precision = found + accused ? found / (found + accused) : 0;
    return { precision: 100 * precision, lift: precision / prior, found, accused };
  }
  const prior = by("prior"), people = by("people");
  function declared() {
    const share = Number(prior.value), count = Math.max(Number(people.value) || 0, 0);
    by("prior-said").textContent = share.toFixed(3);
    const rows = [...document.querySelectorAll("#risk tbody tr")];
    live.risk.filter((one) => one.rates.length).forEach((one, i) => {
      const [fpr, ...rates] = one.rates[0];
      const [value, low, high] = rates.map((tpr) => combined(tpr, fpr, share, count));
      for (const cell of rows[i].querySelectorAll("[data-c]")) {
        const name = cell.dataset.c, digits = name === "lift" ? 1 : 0;
        const unit = name === "precision" ? "%" : "";
        cell.textContent = value[name].toFixed(digits) + unit + (name === "accused" ? "" :
          ` (${low[name].toFixed(digits)} to ${high[name].toFixed(digits)})`);
      }
    });
  }
  if (prior) {
    prior.addEventListener("input", declared);
    people.addEventListener("input", declared);
  }
  moved();
})();
