// A decision tree: one question at a time, one key an answer; the last answer sends the vote.

import { $, $$, html } from "./dom.js";
import { drawing } from "./label-drawings.js";

// Answers after the ninth; no letter that a tool has.
const KEYS = [..."123456789", ..."adefghjklmopqstvwyz"];

export class Tree {
  constructor(tree, { parts, cast, say, answerable }) {
    Object.assign(this, { parts, cast, say, answerable, first: tree.first, given: [], former: [] });
    this.questions = new Map(tree.questions.map((one) => [one.key, one]));
  }

  begin(content) {
    this.former = content?.answers ?? [];
    // A vote that was taken back opens at its last question: one key mends it.
    this.given = this.former.slice(0, -1);
    this.ask();
    if (content?.reject) this.say(`You had rejected it: ${content.reject.join(", ").replaceAll("_", " ")}.`);
  }

  /** Key of the question after those that are answered; null at the end. */
  get current() {
    let key = this.first;
    for (const [question, answer] of this.given) key = this.answer(question, answer)?.next ?? null;
    return key;
  }

  answer(question, answer) {
    return this.questions.get(question)?.answers.find((one) => one.key === answer);
  }

  ask() {
    const question = this.questions.get(this.current);
    const within = this.parts.answers.contains(document.activeElement);
    const was = this.former.find(([key]) => key === question.key)?.[1];
    this.parts.question.textContent = question.text;
    this.parts.answers.replaceChildren(...question.answers.map((one, at) => this.button(one, at, one.key === was, question)));
    this.parts.path.replaceChildren(...this.given.map((pair, at) => this.step(pair, at)));
    this.parts.back.disabled = !this.given.length;
    if (within) $("button", this.parts.answers)?.focus();
  }

  button(answer, at, was, question) {
    return html("li", {}, html("button", { type: "button", class: "answer", "aria-keyshortcuts": KEYS[at], "aria-current": was && "true", onclick: () => this.give(answer) },
      html("kbd", { "aria-hidden": "true" }, KEYS[at].toUpperCase()),
      drawing(question.key, answer),
      html("span", { class: "says" }, answer.text, was && html("span", { class: "small" }, " your former answer"),
        answer.help && html("span", { class: "small" }, answer.help))));
  }

  step([question, answer], at) {
    const words = this.answer(question, answer)?.text ?? answer;
    const text = this.questions.get(question)?.text ?? question;
    return html("li", {}, html("button", { type: "button", class: "link", title: text, "aria-label": `Back to: ${text} ${words}`, onclick: () => this.rewind(at) }, words));
  }

  give(answer) {
    if (!this.answerable()) return;
    const question = this.current;
    const pair = [question, answer.key];
    if (answer.next) {
      this.given = [...this.given, pair];
      return this.ask();
    }
    const answers = [...this.given, pair];
    const words = answers.map(([one, key]) => this.answer(one, key).text).join(" · ");
    this.cast({ answers }, words);
  }

  rewind(at) {
    this.given = this.given.slice(0, at);
    this.ask();
  }

  back() {
    if (this.given.length) this.rewind(this.given.length - 1);
  }

  key(event) {
    const answer = this.questions.get(this.current)?.answers[KEYS.indexOf(event.key.toLowerCase())];
    if (!answer || event.repeat) return Boolean(answer);
    this.give(answer);
    return true;
  }

  focus() {
    if (!$$("button", this.parts.answers).includes(document.activeElement)) document.activeElement?.blur();
  }
}
