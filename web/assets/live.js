// What all live pages share: streams that keep their place, parts of a page that are exchanged for newer ones, and
// doing either only while somebody looks. A page in the background holds no connection: a browser has six for a server.

// Looking calls start when the element can be seen and stop when it cannot: scrolled away, hidden, or behind another tab.
export class Looking {
  #seen = false
  #going = false
  #start
  #stop

  constructor(element, start, stop) {
    this.#start = start
    this.#stop = stop
    document.addEventListener('visibilitychange', () => this.#check())
    new IntersectionObserver((entries) => {
      this.#seen = entries.at(-1).isIntersecting
      this.#check()
    }, { rootMargin: '200px' }).observe(element)
  }

  #check() {
    const going = this.#seen && document.visibilityState === 'visible'
    if (going === this.#going) return
    this.#going = going
    if (going) this.#start()
    else this.#stop()
  }
}

const again = 3000 // milliseconds until a stream that was refused is tried again

// Stream follows server-sent events from an offset. When it is started again, or the connection was lost, it goes on
// after the last event that it got.
export class Stream {
  #url
  #offset
  #handlers
  #source
  #timer
  ended = false // nothing more will come

  constructor(url, offset, handlers) {
    this.#url = url
    this.#offset = offset
    this.#handlers = handlers
  }

  start() {
    if (this.ended || this.#source) return
    const source = new EventSource(`${this.#url}?offset=${this.#offset}`)
    this.#source = source
    for (const [name, handle] of Object.entries(this.#handlers)) {
      source.addEventListener(name, (event) => {
        if (event.lastEventId) this.#offset = event.lastEventId
        handle(JSON.parse(event.data))
      })
    }
    source.addEventListener('end', () => {
      this.ended = true
      this.stop()
      this.#handlers.ended?.()
    })
    source.addEventListener('error', () => {
      if (source.readyState !== EventSource.CLOSED || this.#source !== source) return // it comes back by itself
      this.stop()
      this.#timer = setTimeout(() => this.start(), again)
    })
  }

  stop() {
    clearTimeout(this.#timer)
    this.#source?.close()
    this.#source = undefined
  }
}

// refresh asks the server for the page's parts, marked with data-fresh and an id, and exchanges those that have changed.
export async function refresh(url) {
  const answer = await fetch(url)
  if (!answer.ok) return
  const fresh = new DOMParser().parseFromString(await answer.text(), 'text/html')
  for (const part of fresh.querySelectorAll('[data-fresh]')) {
    const old = document.getElementById(part.id)
    if (old && old.outerHTML !== part.outerHTML && !busy(old)) exchange(old, part)
  }
}

// busy tells whether somebody is about to use something in a part of the page, so that it must not move.
function busy(part) {
  return part.querySelector('details[open]') !== null || String(getSelection()) !== '' && getSelection().containsNode(part, true)
}

const focusable = 'a[href], button, summary, input:not([type=hidden])'

// exchange puts a newer part in the place of an old one, with the focus where it was.
function exchange(old, part) {
  const place = [...old.querySelectorAll(focusable)].indexOf(document.activeElement)
  const was = document.activeElement?.outerHTML
  old.replaceWith(document.adoptNode(part))
  const now = place < 0 ? null : part.querySelectorAll(focusable)[place]
  if (now?.outerHTML === was) now.focus({ preventScroll: true })
}

// Calm runs a task soon after it was wanted, and never again within the pause, however often it is wanted.
export class Calm {
  #task
  #pause
  #timer
  #wanted = false

  constructor(task, pause) {
    this.#task = task
    this.#pause = pause
  }

  want() {
    this.#wanted = true
    if (this.#timer === undefined) this.#timer = setTimeout(() => this.#run(), 150)
  }

  async #run() {
    this.#wanted = false
    try {
      await this.#task()
    } catch {
      this.#wanted = true // the server is away: once more
    }
    this.#timer = setTimeout(() => {
      this.#timer = undefined
      if (this.#wanted) this.want()
    }, this.#pause)
  }
}
