/** What this runtime itself has to say to the person who wrote the node, as a whole line. What a node throws is never one. */
export class Told {
  constructor(text) {
    this.text = text;
  }
}
