"""The English words for everything in the miniature world, in pictures and in sounds."""

from __future__ import annotations

from dataclasses import dataclass

from pipelines.miniature.world import COLOURS


@dataclass(frozen=True, slots=True)
class KindNames:
    """How a kind is named.

    Attributes:
        seen: "singular/plural" nouns of it in a picture.
        heard: nouns with their article for what is heard.
        verbs: "barks/barking" of the sound it makes, after each of `heard`.
        label: the kind as VGGSound would label it.
    """

    seen: tuple[str, ...]
    heard: tuple[str, ...]
    verbs: tuple[str, ...]
    label: str


NAMES: dict[str, KindNames] = {
    "bell": KindNames(
        ("bell/bells", "church bell/church bells", "brass bell/brass bells"),
        ("a bell", "a church bell"),
        ("rings/ringing", "tolls/tolling", "chimes/chiming"),
        "church bell ringing",
    ),
    "rain": KindNames(
        ("rain cloud/rain clouds", "rainy cloud/rainy clouds", "rain shower/rain showers"),
        ("rain", "heavy rain", "a rain shower"),
        ("falls/falling", "pours/pouring", "patters/pattering"),
        "raining",
    ),
    "siren": KindNames(
        ("siren/sirens", "police siren/police sirens", "warning siren/warning sirens"),
        ("a siren", "a police siren", "an ambulance siren"),
        ("wails/wailing", "howls/howling", "blares/blaring"),
        "police car (siren)",
    ),
    "bird": KindNames(
        ("bird/birds", "songbird/songbirds", "little bird/little birds"),
        ("a bird", "a songbird"),
        ("sings/singing", "chirps/chirping", "tweets/tweeting"),
        "bird chirping, tweeting",
    ),
    "clock": KindNames(
        ("clock/clocks", "wall clock/wall clocks", "round clock/round clocks"),
        ("a clock", "a wall clock"),
        ("ticks/ticking", "ticks steadily/ticking steadily"),
        "clock ticking",
    ),
    "drum": KindNames(
        ("drum/drums", "snare drum/snare drums", "wooden drum/wooden drums"),
        ("a drum", "a snare drum"),
        ("beats/beating", "thumps/thumping", "rolls/rolling"),
        "playing snare drum",
    ),
    "dog": KindNames(
        ("dog/dogs", "puppy/puppies", "hound/hounds"),
        ("a dog", "a puppy", "a hound"),
        ("barks/barking", "yaps/yapping", "woofs/woofing"),
        "dog barking",
    ),
    "cat": KindNames(
        ("cat/cats", "kitten/kittens", "house cat/house cats"),
        ("a cat", "a kitten"),
        ("meows/meowing", "mews/mewing"),
        "cat meowing",
    ),
    "frog": KindNames(
        ("frog/frogs", "toad/toads", "tree frog/tree frogs"),
        ("a frog", "a toad"),
        ("croaks/croaking", "ribbits/ribbiting"),
        "frog croaking",
    ),
    "cricket": KindNames(
        ("cricket/crickets", "grasshopper/grasshoppers"),
        ("a cricket", "a grasshopper"),
        ("chirps/chirping", "trills/trilling"),
        "cricket chirping",
    ),
    "bee": KindNames(
        ("bee/bees", "honey bee/honey bees", "bumblebee/bumblebees"),
        ("a bee", "a bumblebee"),
        ("buzzes/buzzing", "hums/humming"),
        "bee, wasp, etc. buzzing",
    ),
    "train": KindNames(
        ("train/trains", "steam train/steam trains", "locomotive/locomotives"),
        ("a train", "a steam train", "a locomotive"),
        ("rattles/rattling", "chugs/chugging"),
        "railroad car, train wagon",
    ),
    "helicopter": KindNames(
        ("helicopter/helicopters", "chopper/choppers"),
        ("a helicopter", "a chopper"),
        ("flies/flying", "hovers/hovering", "whirs/whirring"),
        "helicopter",
    ),
    "wave": KindNames(
        ("wave/waves", "ocean wave/ocean waves", "sea wave/sea waves"),
        ("a wave", "an ocean wave"),
        ("breaks/breaking", "crashes/crashing", "washes/washing"),
        "sea waves",
    ),
    "fire": KindNames(
        ("fire/fires", "campfire/campfires", "burning fire/burning fires"),
        ("a fire", "a campfire"),
        ("crackles/crackling", "burns/burning"),
        "fire crackling",
    ),
    "thunder": KindNames(
        ("thunder bolt/thunder bolts", "lightning bolt/lightning bolts", "thunderstorm/thunderstorms"),
        ("thunder", "a thunderstorm"),
        ("rumbles/rumbling", "booms/booming", "rolls/rolling"),
        "thunder",
    ),
    "phone": KindNames(
        ("phone/phones", "telephone/telephones", "old phone/old phones"),
        ("a phone", "a telephone"),
        ("rings/ringing", "is ringing/ringing"),
        "telephone bell ringing",
    ),
    "whistle": KindNames(
        ("whistle/whistles", "metal whistle/metal whistles", "referee whistle/referee whistles"),
        ("a whistle", "a referee whistle"),
        ("blows/blowing", "shrills/shrilling"),
        "people whistling",
    ),
    "guitar": KindNames(
        ("guitar/guitars", "acoustic guitar/acoustic guitars"),
        ("a guitar", "an acoustic guitar"),
        ("plays/playing", "is strummed/strummed", "is plucked/plucked"),
        "playing acoustic guitar",
    ),
    "piano": KindNames(
        ("piano/pianos", "grand piano/grand pianos", "keyboard/keyboards"),
        ("a piano", "a grand piano"),
        ("plays/playing", "plays chords/playing chords"),
        "playing piano",
    ),
    "flute": KindNames(
        ("flute/flutes", "wooden flute/wooden flutes", "silver flute/silver flutes"),
        ("a flute", "a wooden flute"),
        ("plays/playing", "plays softly/playing softly"),
        "playing flute",
    ),
    "door": KindNames(
        ("door/doors", "wooden door/wooden doors", "front door/front doors"),
        ("a door", "a wooden door"),
        ("slams/slamming", "creaks/creaking", "shuts/shutting"),
        "door slamming",
    ),
    "typewriter": KindNames(
        ("typewriter/typewriters", "old typewriter/old typewriters", "writing machine/writing machines"),
        ("a typewriter", "an old typewriter"),
        ("clacks/clacking", "clatters/clattering", "types/typing"),
        "typing on typewriter",
    ),
    "horn": KindNames(
        ("horn/horns", "car horn/car horns", "brass horn/brass horns"),
        ("a horn", "a car horn"),
        ("honks/honking", "toots/tooting"),
        "vehicle horn, car horn, honking",
    ),
}  # fmt: skip

COUNTS = ("one", "two", "three", "four")
TIMES = ("once", "twice", "three times", "four times")
SIZES = {"low": ("big", "large", "huge"), "middle": ("", "medium"), "high": ("small", "tiny")}
TONES = {"low": ("low", "deep"), "middle": ("medium", "middle"), "high": ("high", "bright")}
COLOUR_WORDS = {colour: (colour,) for colour in COLOURS} | {"purple": ("purple", "violet")}
SEEN_WHERE = {
    "meadow": ("in a meadow", "on the grass", "in a field"),
    "street": ("on a street", "in the street", "on a city road"),
    "night": ("at night", "in the dark", "under the night sky"),
    "beach": ("on a beach", "on the sand", "by the shore"),
    "room": ("in a room", "indoors", "inside a house"),
    "snow": ("in the snow", "on snowy ground", "in winter"),
}
HEARD_WHERE = {
    "meadow": ("while the wind blows", "with wind in the grass", "in a windy field"),
    "street": ("with traffic in the background", "while cars pass by", "on a busy street"),
    "night": ("at night", "in the quiet of the night", "in the dark"),
    "beach": ("near the sea", "with surf in the background", "on a beach"),
    "room": ("in a room", "indoors", "inside a house"),
    "snow": ("in the snow", "in the quiet of winter", "on a cold snowy day"),
}

# Words of search queries about such things that the captions do not have.
QUERY_WORDS = (
    "animal animals audio clip color colour feels find image images instrument instruments like listen "
    "looks loud machine machines makes me music nature noise noises noisy photos photograph pictures "
    "quiet recordings scene search show similar soft something song sounding sounds tone vehicle "
    "vehicles voice water weather what which who where hear heard hearing see seen one two three four "
    "five several some many few group single alone and or not no without for to from is are it its "
    "this that these those thing things gray grey brown pink dark light outside outdoors sky"
)  # fmt: skip
