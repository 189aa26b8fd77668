// The screen of the machine: asks for the next picture that differs, a few times in a second at most.

const pause = 200 // milliseconds between two pictures
const later = 2000 // until asking again when there is nothing to see

const sleep = (ms) => new Promise((done) => setTimeout(done, ms))

export class Screen {
  #url
  #picture = document.getElementById('picture')
  #said = document.getElementById('screen-said')
  #tag = ''
  #stopped
  #ending = false // the build has ended: the next picture is the last one

  constructor(url) {
    this.#url = url
  }

  start() {
    if (this.#ending) return
    this.#stopped?.abort()
    this.#stopped = new AbortController()
    this.#run(this.#stopped.signal)
  }

  stop() {
    this.#stopped?.abort()
  }

  // end shows what is left to see, and then no more.
  end() {
    this.#ending = true
  }

  async #run(signal) {
    while (!signal.aborted) {
      const last = this.#ending
      let wait = later
      try {
        wait = await this.#next(signal)
      } catch {
        if (signal.aborted) return
      }
      if (last) return
      await sleep(wait)
    }
  }

  // next shows the next picture and returns how long to wait before the one after it.
  async #next(signal) {
    const headers = this.#tag ? { 'If-None-Match': this.#tag } : {}
    const answer = await fetch(this.#url, { signal, headers })
    if (answer.status === 304) return pause
    if (answer.status !== 200) {
      this.#said.textContent = this.#tag ? 'The machine is off' : ''
      return later
    }
    const picture = await answer.blob()
    this.#tag = answer.headers.get('ETag')
    await this.#show(picture)
    this.#said.textContent = answer.headers.has('Boxkiln-Screen') ? 'Live' : 'The last picture'
    return pause
  }

  async #show(blob) {
    const old = this.#picture.src
    this.#picture.src = URL.createObjectURL(blob)
    await this.#picture.decode()
    this.#picture.hidden = false
    document.getElementById('no-picture').hidden = true
    if (old.startsWith('blob:')) URL.revokeObjectURL(old)
  }
}
