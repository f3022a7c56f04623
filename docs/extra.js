// Search where the site is opened from files: browsers start no worker from a file there, but a script in a frame does the same.
if (location.protocol === "file:") {
  window.Worker = class {
    constructor(url) {
      this.frame = Object.assign(document.createElement("iframe"), {hidden: true});
      document.body.append(this.frame);
      const inside = this.frame.contentWindow;
      inside.postMessage = data => setTimeout(() => this.onmessage?.({data}));
      const script = Object.assign(inside.document.createElement("script"), {src: new URL(url, location)});
      this.ready = new Promise(done => script.onload = done);
      inside.document.body.append(script);
    }
    postMessage(data) {
      this.ready.then(() => this.frame.contentWindow?.dispatchEvent(new MessageEvent("message", {data})));
    }
    terminate() {
      this.frame.remove();
    }
  };
}

// What the theme makes as one reads has names for those who hear the page, and is reached by the keyboard where it scrolls.
const named = () => {
  document.querySelectorAll(".md-code__nav").forEach((nav, k) => nav.setAttribute("aria-label", `Code block ${k + 1}`));
  document.querySelectorAll("pre > code, .md-typeset__scrollwrap").forEach(part => {
    if (part.scrollWidth > part.clientWidth) part.tabIndex = 0;
  });
};
addEventListener("load", named);
new MutationObserver(named).observe(document.body, {childList: true, subtree: true});
