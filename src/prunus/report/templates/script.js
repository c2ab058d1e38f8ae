"use strict";
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    head.querySelector("button").addEventListener("click", () => {
      const body = table.tBodies[0];
      const rising = head.getAttribute("aria-sort") !== "ascending";
      const value = (row) => {
        const cell = row.cells[column];
        if (cell.dataset.value === undefined) return cell.textContent.trim();
        return cell.dataset.value === "" ? null : Number(cell.dataset.value);
      };
      const compare = (first, second) => {
        const [one, other] = [value(first), value(second)];
        if (one === null || other === null) return (one === null) - (other === null);
        const order = typeof one === "string" ? one.localeCompare(other) : one - other;
        return rising ? order : -order;
      };
      body.append(...[...body.rows].sort(compare));
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", rising ? "ascending" : "descending");
    });
  });
}
for (const box of document.querySelectorAll(".scroll")) {
  const hint = () => {
    const hidden = box.scrollWidth - box.clientWidth;
    box.closest(".scroller").classList.toggle("overflowing", hidden > 1);
    box.closest(".scroller").classList.toggle("more", hidden - box.scrollLeft > 1);
  };
  box.addEventListener("scroll", hint, { passive: true });
  new ResizeObserver(hint).observe(box);
}
