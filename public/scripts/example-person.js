// Example data for the registration form, with a random password.

const WORDS = `amber anchor apron badge banjo barley basket beacon bison bottle bramble bridge button cactus candle canyon
  carpet cedar cellar cherry chimney cobalt comet copper coral cotton cradle cricket crystal dahlia dolphin donkey
  drizzle drum ember engine falcon feather fern fiddle flannel fossil garlic geyser ginger glacier granite hammock
  harbor hazel helmet heron hinge igloo indigo ivory jacket jigsaw kettle ladder lantern lemon lizard magnet`.split(/\s+/);

/** Return the fields of POST /users. The password has six random words from a list of 64, which is 36 bits. */
export function examplePerson() {
  const numbers = crypto.getRandomValues(new Uint32Array(7));
  const words = Array.from(numbers.slice(1), (number) => WORDS[number % WORDS.length]);
  return {
    name: "Ada Example",
    email: `ada.${numbers[0].toString(36)}@example.com`,
    date_of_birth: "1985-12-10",
    job_title: "Teacher",
    password: words.join(" "),
  };
}
