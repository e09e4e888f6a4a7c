// A photograph enlarged in a dialog: scrolled by arrow keys, wheel, mouse or finger; a cell of a gallery comes into its middle.
const dialog = document.getElementById("zoom"), pane = document.getElementById("pane"), big = pane.querySelector("img");
const CELL = 6; // times the fitting size at which a cell of a gallery is shown
let fit = 1, zoom = 1;

function resize(next, x = pane.clientWidth / 2, y = pane.clientHeight / 2) {
  const most = Math.max(4, 4 * big.naturalWidth / fit); // at least until each pixel is four wide
  const old = big.getBoundingClientRect(), at = pane.getBoundingClientRect();
  const px = (at.left + x - old.left) / old.width, py = (at.top + y - old.top) / old.height;
  zoom = Math.min(most, Math.max(1, next));
  big.style.width = `${fit * zoom}px`;
  pane.scrollTo(px * big.clientWidth - x, py * big.clientHeight - y);
}

function show(link) {
  const { photograph, x, y } = link.dataset, small = document.querySelector(`#photograph-${photograph} img`);
  document.getElementById("zoom-title").textContent = `Photograph ${photograph}`;
  big.src = small.src;
  big.alt = small.alt;
  dialog.showModal();
  pane.focus();
  big.decode().then(() => {
    fit = Math.min(pane.clientWidth, (pane.clientHeight * big.naturalWidth) / big.naturalHeight);
    big.style.width = `${fit}px`;
    resize(x ? CELL : 1);
    if (x) pane.scrollTo(x * big.clientWidth - pane.clientWidth / 2, y * big.clientHeight - pane.clientHeight / 2);
  });
}

for (const link of document.querySelectorAll("a[data-photograph]"))
  link.addEventListener("click", (event) => { event.preventDefault(); show(link); });
for (const button of dialog.querySelectorAll("[data-zoom]"))
  button.addEventListener("click", () => resize(zoom * button.dataset.zoom));
dialog.addEventListener("keydown", (event) => {
  const step = { "+": 1.5, "=": 1.5, "-": 1 / 1.5, 0: 0 }[event.key];
  if (step !== undefined && !event.ctrlKey && !event.metaKey) resize(zoom * step);
});
pane.addEventListener("wheel", (event) => {
  event.preventDefault();
  const at = pane.getBoundingClientRect();
  resize(zoom * Math.exp(-event.deltaY / 400), event.clientX - at.left, event.clientY - at.top);
}, { passive: false });
pane.addEventListener("pointermove", (event) => {
  if (event.buttons === 1 && event.pointerType === "mouse") pane.scrollBy(-event.movementX, -event.movementY);
});
pane.addEventListener("dragstart", (event) => event.preventDefault());
