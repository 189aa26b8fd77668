// Typing into the machine: the form without loading the page, and the picture as a keyboard.

// What browsers call a key, as a token of boot commands.
const tokens = {
  Enter: 'enter', Tab: 'tab', Escape: 'esc', Backspace: 'bs', Delete: 'del', Insert: 'insert', Home: 'home', End: 'end',
  PageUp: 'pageUp', PageDown: 'pageDown', ArrowUp: 'up', ArrowDown: 'down', ArrowLeft: 'left', ArrowRight: 'right',
}
for (let n = 1; n <= 12; n++) tokens[`F${n}`] = `f${n}`

// text is what a key press types, or nothing.
function text(event) {
  const token = tokens[event.key]
  let typed = token ? `<${token}>` : [...event.key].length === 1 ? event.key : ''
  if (typed === '') return ''
  if (event.shiftKey && token) typed = `<leftShiftOn>${typed}<leftShiftOff>`
  if (event.altKey && !event.getModifierState('AltGraph')) typed = `<leftAltOn>${typed}<leftAltOff>`
  if (event.ctrlKey && !event.getModifierState('AltGraph')) typed = `<leftCtrlOn>${typed}<leftCtrlOff>`
  return typed
}

export class Keys {
  #url
  #said = document.getElementById('keys-said')
  #queue = []
  #sending = false
  #ended = false

  constructor(url) {
    this.#url = url
    for (const form of document.querySelectorAll('#keys form')) {
      form.addEventListener('submit', (event) => this.#submit(event))
    }
    this.#makeKeyboard(document.getElementById('screen'))
  }

  // end takes the keyboard away, with the machine.
  end() {
    const screen = document.getElementById('screen')
    screen.blur()
    screen.removeAttribute('tabindex')
    this.#ended = true
    document.getElementById('keys').remove()
    document.getElementById('typing-hint').remove()
  }

  #submit(event) {
    event.preventDefault()
    const data = new FormData(event.target, event.submitter)
    this.#type((data.get('text') ?? '') + (data.has('enter') ? '<enter>' : ''))
    const field = event.target.querySelector('#keys-text')
    if (field) field.value = ''
  }

  // type sends text after what was typed before it. What waits is sent together, but a "<" that was typed as such goes
  // alone, lest it begin a token.
  #type(text) {
    if (text === '') return
    const last = this.#queue.length - 1
    if (last >= 0 && text !== '<' && this.#queue[last] !== '<' && this.#queue[last].length < 1000) this.#queue[last] += text
    else this.#queue.push(text)
    this.#send()
  }

  async #send() {
    if (this.#sending) return
    this.#sending = true
    while (this.#queue.length > 0) {
      try {
        this.#say(await this.#post(this.#queue.shift()))
      } catch (problem) {
        this.#queue = []
        this.#say(problem instanceof TypeError ? 'The daemon cannot be reached.' : problem.message, true)
      }
    }
    this.#sending = false
  }

  async #post(text) {
    const answer = await fetch(this.#url, {
      method: 'POST', headers: { Accept: 'application/json' }, body: new URLSearchParams({ text }),
    })
    const said = await answer.json()
    if (!answer.ok) throw new Error(said.error)
    return `Sent ${said.events} key events`
  }

  #say(text, bad = false) {
    this.#said.textContent = text
    this.#said.classList.toggle('bad', bad)
  }

  // makeKeyboard lets the picture take all keys, from a click or Enter on it until a click elsewhere or Ctrl and Alt
  // together. Merely passing it with Tab changes nothing.
  #makeKeyboard(screen) {
    const hint = document.getElementById('typing-hint')
    const idle = hint.textContent
    let on = false
    const turn = (now) => {
      on = now
      screen.classList.toggle('typing', on)
      hint.textContent = on ? 'Keys go to the machine. Ctrl and Alt together to leave' : idle
    }
    hint.hidden = false
    screen.tabIndex = 0
    screen.setAttribute('role', 'application')
    screen.setAttribute('aria-label', 'The screen of the machine. Press Enter to type into it, Ctrl and Alt together to leave.')
    screen.addEventListener('click', () => {
      if (this.#ended) return
      screen.focus()
      turn(true)
    })
    screen.addEventListener('blur', () => turn(false))
    screen.addEventListener('keydown', (event) => {
      if (event.isComposing) return
      if (!on) {
        if (event.key !== 'Enter') return
        event.preventDefault()
        turn(true)
        return
      }
      event.preventDefault()
      if (event.ctrlKey && event.altKey && (event.code === 'ControlLeft' || event.code === 'AltLeft')) turn(false)
      else this.#type(text(event))
    })
  }
}
