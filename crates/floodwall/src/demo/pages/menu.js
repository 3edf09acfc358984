// The menu folds away on small screens; without this script it stays open.
(function () {
  document.documentElement.classList.add("js");
  document.addEventListener("click", function (event) {
    var button = event.target.closest(".menu-button");
    if (!button) return;
    var open = document.querySelector("nav").classList.toggle("open");
    button.setAttribute("aria-expanded", String(open));
  });
})();
