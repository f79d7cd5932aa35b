// How many guests are at a place right now, as far as anybody knows.
//
// Sangre asks this for every place of the document. Change it, save the file, and every document follows.
export function transform(place, args) {
  return (place.id * 7) % 5;
}
