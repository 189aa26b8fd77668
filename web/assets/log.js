// The log of a build: a list of lines that grows, and a bar for what is on its way.

const most = 12000 // lines that are kept in the page; the rest is in the whole log

export class Log {
  #box = document.getElementById('log')
  #lines = document.getElementById('lines')
  #waiting = []

  // line appends one, together with all others that come before the next frame is drawn.
  line(line) {
    if (this.#waiting.push(line) === 1) requestAnimationFrame(() => this.#draw())
  }

  #draw() {
    document.getElementById('nothing')?.remove()
    const added = document.createDocumentFragment()
    for (const line of this.#waiting.splice(0)) added.append(element(line))
    // The box is laid out from its end: who reads there follows, and whoever has scrolled back stays where they are.
    const height = this.#box.scrollHeight
    const back = this.#box.scrollTop < -4
    this.#lines.append(added)
    if (back) this.#box.scrollTop -= this.#box.scrollHeight - height
    while (this.#lines.childElementCount > most) this.#lines.firstElementChild.remove()
  }

  // progress shows how far something is; without any, nothing is on its way.
  progress(now) {
    const shown = now !== undefined && !(now.total > 0 && now.done >= now.total)
    document.getElementById('progress').hidden = !shown
    if (!shown) return
    document.getElementById('progress-text').textContent = now.text
    document.getElementById('progress-said').textContent = now.said
    const bar = document.getElementById('progress-bar')
    if (now.total > 0) bar.value = now.done / now.total
    else bar.removeAttribute('value')
  }
}

function element({ at, kind, text }) {
  const line = document.createElement('p')
  line.className = `log-${kind}`
  const time = document.createElement('span')
  time.className = 'at'
  time.textContent = at
  line.append(time, ' ', text)
  return line
}
