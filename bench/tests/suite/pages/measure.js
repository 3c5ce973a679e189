// Measures the page it stands in and tells the window around it what is wrong: nothing cut off, nothing empty, no two
// labels of a picture on each other, text readable on its background.
addEventListener("load", () => {
  const wrong = [];
  const shown = (element) => element.getClientRects().length > 0;
  const all = (selector) => [...document.querySelectorAll(selector)].filter(shown);
  const say = (element) => (element.id || element.className.baseVal || element.className || element.tagName) + " '" + element.textContent.slice(0, 60) + "'";

  const page = document.documentElement;
  if (page.scrollWidth > page.clientWidth + 1) wrong.push(`the page is ${page.scrollWidth} wide in ${page.clientWidth}`);

  const pictures = all(".picture svg");
  if (pictures.length < (document.querySelector("#figure") ? 1 : 3)) wrong.push(`only ${pictures.length} pictures`);
  for (const picture of pictures) {
    const frame = picture.getBoundingClientRect();
    const name = picture.querySelector("title")?.textContent;
    if (!name || !picture.querySelector("desc")?.textContent) wrong.push("a picture has no title or description");
    if (frame.width < 200 || frame.height < 60) wrong.push(`${name}: only ${frame.width} x ${frame.height}`);
    if (!picture.querySelector("path")) wrong.push(`${name}: nothing is drawn`);
    const texts = [...picture.querySelectorAll("text")].map((text) => [text.textContent, text.getBoundingClientRect()]);
    if (texts.length === 0) wrong.push(`${name}: has no text`);
    texts.forEach(([text, box], place) => {
      if (box.left < frame.left - 1 || box.right > frame.right + 1 || box.top < frame.top - 1 || box.bottom > frame.bottom + 1)
        wrong.push(`${name}: '${text}' is cut off at ${Math.round(box.left)}..${Math.round(box.right)} of ${Math.round(frame.width)}`);
      if (box.height < 7) wrong.push(`${name}: '${text}' is ${box.height} high`);
      for (const [other, its] of texts.slice(place + 1)) {
        const across = Math.min(box.right, its.right) - Math.max(box.left, its.left);
        const down = Math.min(box.bottom, its.bottom) - Math.max(box.top, its.top);
        // Boxes have room above and below their letters.
        if (across > 1 && down > 4) wrong.push(`${name}: '${text}' lies on '${other}'`);
      }
    });
  }
  for (const element of all("h1, h2, h3, .headline, .card p, td b, .legend li, code.line, th[scope]"))
    if (!element.textContent.trim() && element.tagName !== "TH") wrong.push(`empty: ${say(element)}`);
  for (const element of all(".card, .headline, .facts, .legend, .note, code.line, .words .wide"))
    if (element.scrollWidth > element.clientWidth + 1) wrong.push(`cut off: ${say(element)}`);
  for (const table of all("table")) if (!table.querySelector("tbody tr")) wrong.push(`empty table: ${say(table)}`);

  const light = (color) => {
    const parts = color.match(/[\d.]+/g).slice(0, 3).map((part) => {
      const share = part / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2];
  };
  const paper = light(getComputedStyle(document.body).backgroundColor);
  const contrast = (color) => {
    const [high, low] = [light(color), paper].sort((a, b) => b - a);
    return (high + 0.05) / (low + 0.05);
  };
  for (const text of all("svg text")) {
    const found = contrast(getComputedStyle(text).fill);
    if (found < 4.5) wrong.push(`'${text.textContent}' has a contrast of ${found.toFixed(1)}`);
  }
  for (const text of all("p, td, th, li, h1, h2, h3, summary")) {
    const found = contrast(getComputedStyle(text).color);
    if (found < 4.5) wrong.push(`'${text.textContent.slice(0, 40)}' has a contrast of ${found.toFixed(1)}`);
  }
  for (const line of all("svg path.l:not(.grid):not(.axis), .swatch path.f:not(.fault-window):not(.late)")) {
    const style = getComputedStyle(line);
    const color = line.classList.contains("l") ? style.stroke : style.fill;
    if (color === "none" || contrast(color) < 1.9) wrong.push(`a line of ${line.getAttribute("class")} cannot be seen`);
  }
  const dark = paper < 0.2;
  parent.postMessage({ name: document.title, dark, pictures: pictures.length, wrong }, "*");
});
