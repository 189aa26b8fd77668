// The serial console: text that grows at its end, where a carriage return takes back the line so far.

const most = 256 * 1024 // characters that are kept

export class Console {
  #pre
  #back = false // a carriage return was the last thing: what comes next replaces the line

  constructor(pre) {
    this.#pre = pre
  }

  write(text) {
    let all = this.#pre.textContent
    for (const part of text.split(/(\r|\n)/)) {
      if (part === '') continue
      if (part === '\r') {
        this.#back = true
        continue
      }
      if (this.#back && part !== '\n') all = all.slice(0, all.lastIndexOf('\n') + 1)
      this.#back = false
      all += part
    }
    this.#pre.textContent = all.slice(-most)
  }
}
