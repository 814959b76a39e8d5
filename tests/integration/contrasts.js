// The contrast of every piece of text in <main> to what is behind it, with opacity: [ratio, which].
() => {
  const parts = (text) => (text.match(/[\d.]+/g) || []).map(Number);
  const over = (top, below, share) => top.map((each, index) => each * share + below[index] * (1 - share));
  const ground = (node) => {
    const layers = [];
    for (let each = node; each; each = each.parentElement) layers.unshift(parts(getComputedStyle(each).backgroundColor));
    return layers.reduce((below, [r, g, b, a = 1]) => over([r, g, b], below, a), [255, 255, 255]);
  };
  const opacity = (node) => {
    let share = 1;
    for (let each = node; each; each = each.parentElement) share *= Number(getComputedStyle(each).opacity);
    return share;
  };
  const light = (colour) => colour.map((each) => each / 255)
    .map((each) => (each <= 0.03928 ? each / 12.92 : ((each + 0.055) / 1.055) ** 2.4))
    .reduce((sum, each, index) => sum + each * [0.2126, 0.7152, 0.0722][index], 0);
  const found = [];
  for (const node of document.querySelectorAll("main *")) {
    const own = [...node.childNodes].some((each) => each.nodeType === 3 && each.textContent.trim());
    if (!own || !node.checkVisibility() || node.closest("svg") || !(node instanceof HTMLElement)) continue;
    const behind = ground(node);
    const [one, two] = [light(over(parts(getComputedStyle(node).color).slice(0, 3), behind, opacity(node))), light(behind)];
    const ratio = (Math.max(one, two) + 0.05) / (Math.min(one, two) + 0.05);
    found.push([ratio, node.tagName + "." + node.className + ": " + node.textContent.trim().slice(0, 40)]);
  }
  return found;
}
