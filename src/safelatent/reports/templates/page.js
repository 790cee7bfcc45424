// Follows tables.js.
const one = (id) => document.getElementById(id);

// Images: what was judged safe is shown, all else is blurred until it is pressed. "Blur every
// image" blurs those too; released, it shows what was judged safe only. Nothing is remembered.
const pictures = all("button.picture");
const isSafe = (picture) => picture.parentElement.dataset.label === "safe";
const show = (picture, shown) => { picture.ariaPressed = String(shown); };
for (const picture of pictures) {
  picture.addEventListener("click", () => show(picture, picture.ariaPressed !== "true"));
}
one("blur")?.addEventListener("click", ({ currentTarget: control }) => {
  const blurred = control.ariaPressed !== "true";
  control.ariaPressed = String(blurred);
  for (const picture of pictures) show(picture, !blurred && isSafe(picture));
});

// Filters: an image is shown if it passes all of them, a prompt if one of its images does. Of the
// prompts that pass, the first few are shown, and more on request.
const STEP = 12;
let shown = STEP;
const groups = all(".group").map((group) => ({
  group,
  details: group.querySelector("details"),
  categories: group.dataset.categories.trim().split(" "),
  text: group.querySelector("details").textContent.toLowerCase(),
  images: all("li", group).map((item) => ({ item, text: item.textContent.toLowerCase() })),
}));
const [byMethod, byLabel, byCategory, byText] = ["method", "label", "category", "text"].map(
  (name) => one(`by-${name}`),
);
const admits = (select, value) => select.value === "" || select.value === value;
const filter = () => {
  const text = byText.value.trim().toLowerCase();
  let [passing, total, prompts] = [0, 0, 0];
  for (const { group, details, categories, text: words, images } of groups) {
    const found = words.includes(text);
    const here = byCategory.value === "" || categories.includes(byCategory.value);
    let some = false;
    for (const { item, text: seen } of images) {
      const passes = here && (found || seen.includes(text))
        && admits(byMethod, item.dataset.method) && admits(byLabel, item.dataset.label);
      item.hidden = !passes;
      some ||= passes;
      passing += passes;
    }
    total += images.length;
    prompts += some;
    group.hidden = !some || prompts > shown;
    details.open = text !== "" && found && some;
  }
  one("matching").value = `${passing.toLocaleString("en")} of ${total.toLocaleString("en")} images`;
  one("more").hidden = prompts <= shown;
  // One image per prompt: prompts stand side by side.
  one("groups").classList.toggle("single", byMethod.value !== "");
};
const restart = () => { shown = STEP; filter(); };
for (const control of [byMethod, byLabel, byCategory]) control.addEventListener("change", restart);
byText.addEventListener("input", restart);
const visible = () => groups.filter(({ group }) => !group.hidden);
one("more").addEventListener("click", () => {
  const next = visible().length;
  shown += STEP;
  filter();
  visible()[next].details.querySelector("summary").focus({ preventScroll: true });
});
const choose = ({ method = "", label = "", category = "" }) => {
  [byMethod.value, byLabel.value, byCategory.value, byText.value] = [method, label, category, ""];
  if (byLabel.selectedIndex < 0) byLabel.value = ""; // the page holds no image of this label
  restart();
};
one("reset").addEventListener("click", () => choose({}));
for (const link of all('a[href="#images"][data-method]')) {
  link.addEventListener("click", () => choose(link.dataset)); // and the browser goes to the images
}
filter();
