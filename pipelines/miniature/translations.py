"""Captions of the miniature world in other languages, plain enough that nothing need be inflected.

Every kind stands in the nominative, its colour follows it as a phrase, and the place ends the sentence.
"""

# Cyrillic and Chinese look like Latin to a linter.
# ruff: noqa: RUF001

from __future__ import annotations

from dataclasses import dataclass

from pipelines.miniature.world import BACKGROUNDS, COLOURS, KINDS, Medium, Scene


@dataclass(frozen=True, slots=True)
class Language:
    """One language: its words in the order of the world's lists, with `|` between, and its sentences.

    Sentences have the fields {kind}, {colour}, {where} and, for sounds, {times}.
    """

    kinds: str
    colours: str
    places: str
    times: str
    seen: tuple[str, ...]
    heard: tuple[str, ...]

    def kind(self, kind: str) -> str:
        """Return the word for one of the world's kinds."""
        return self.kinds.split("|")[KINDS.index(kind)]


LANGUAGES: dict[str, Language] = {
    "de": Language(
        "eine Glocke|eine Regenwolke|eine Sirene|ein Vogel|eine Uhr|eine Trommel|ein Hund|eine Katze|"
        "ein Frosch|eine Grille|eine Biene|ein Zug|ein Hubschrauber|eine Welle|ein Feuer|ein Donner|"
        "ein Telefon|eine Trillerpfeife|eine Gitarre|ein Klavier|eine Flöte|eine Tür|"
        "eine Schreibmaschine|eine Hupe",
        "in Rot|in Orange|in Gelb|in Grün|in Blau|in Violett|in Weiß|in Schwarz",
        "auf einer Wiese|auf der Straße|in der Nacht|am Strand|in einem Zimmer|im Schnee",
        "einmal|zweimal|dreimal|viermal",
        ("Hier ist {kind} {colour} {where} abgebildet",
         "Auf diesem Bild ist {kind} {colour} {where} zu sehen.",
         "Das Foto zeigt {where}: {kind} {colour}"),
        ("Zu hören ist {times} {kind} {where}.", "Man hört {where} ein Geräusch: {kind}, {times}"),
    ),
    "fr": Language(
        "une cloche|un nuage de pluie|une sirène|un oiseau|une horloge|un tambour|un chien|un chat|"
        "une grenouille|un grillon|une abeille|un train|un hélicoptère|une vague|un feu|un tonnerre|"
        "un téléphone|un sifflet|une guitare|un piano|une flûte|une porte|une machine à écrire|"
        "un klaxon",
        "de couleur rouge|de couleur orange|de couleur jaune|de couleur verte|de couleur bleue|"
        "de couleur violette|de couleur blanche|de couleur noire",
        "dans un pré|dans la rue|pendant la nuit|sur la plage|dans une chambre|dans la neige",
        "une fois|deux fois|trois fois|quatre fois",
        ("{kind} {colour} {where}", "Sur cette photo on voit {kind} {colour} {where}.",
         "Cette image montre {kind} {colour}, {where}"),
        ("On entend {times} {kind} {where}.", "Le bruit que fait {kind} {where}, {times}"),
    ),
    "es": Language(
        "una campana|una nube de lluvia|una sirena|un pájaro|un reloj|un tambor|un perro|un gato|"
        "una rana|un grillo|una abeja|un tren|un helicóptero|una ola|un fuego|un trueno|un teléfono|"
        "un silbato|una guitarra|un piano|una flauta|una puerta|una máquina de escribir|una bocina",
        "de color rojo|de color naranja|de color amarillo|de color verde|de color azul|"
        "de color morado|de color blanco|de color negro",
        "en un prado|en la calle|durante la noche|en la playa|en una habitación|en la nieve",
        "una vez|dos veces|tres veces|cuatro veces",
        ("Aquí está {kind} {colour}, que se encuentra {where}",
         "En esta fotografía se puede ver {kind} {colour} {where}.",
         "Esta imagen muestra cómo es {kind} {colour} cuando está {where}"),
        ("Se puede oír {times} cómo suena {kind} {where}.",
         "Este es el ruido que hace {kind} cuando está {where}, {times}"),
    ),
    "it": Language(
        "una campana|una nuvola di pioggia|una sirena|un uccello|un orologio|un tamburo|un cane|"
        "un gatto|una rana|un grillo|un'ape|un treno|un elicottero|un'onda|un fuoco|un tuono|"
        "un telefono|un fischietto|una chitarra|un pianoforte|un flauto|una porta|"
        "una macchina da scrivere|un clacson",
        "di colore rosso|di colore arancione|di colore giallo|di colore verde|di colore blu|"
        "di colore viola|di colore bianco|di colore nero",
        "in un prato|sulla strada|durante la notte|sulla spiaggia|in una stanza|nella neve",
        "una volta|due volte|tre volte|quattro volte",
        ("{kind} {colour} {where}", "In questa foto si vede {kind} {colour} {where}.",
         "L'immagine mostra {kind} {colour}, {where}"),
        ("Si sente {times} {kind} {where}.", "Il rumore che fa {kind} {where}, {times}"),
    ),
    "nl": Language(
        "een klok|een regenwolk|een sirene|een vogel|een uurwerk|een trommel|een hond|een kat|"
        "een kikker|een krekel|een bij|een trein|een helikopter|een golf|een vuur|een donder|"
        "een telefoon|een fluitje|een gitaar|een piano|een dwarsfluit|een deur|een schrijfmachine|"
        "een claxon",
        "in het rood|in het oranje|in het geel|in het groen|in het blauw|in het paars|in het wit|"
        "in het zwart",
        "op een weiland|op de straat|in de nacht|op het strand|in een kamer|in de sneeuw",
        "een keer|twee keer|drie keer|vier keer",
        ("{kind} {colour} {where}", "Op deze foto zien we {kind} {colour} {where}.",
         "De afbeelding toont {kind} {colour}, {where}"),
        ("Men hoort {times} {kind} {where}.", "Het geluid van {kind} {where}, {times}"),
    ),
    "pl": Language(
        "dzwon|chmura deszczowa|syrena|ptak|zegar|bęben|pies|kot|żaba|świerszcz|pszczoła|pociąg|"
        "śmigłowiec|fala|ogień|grzmot|telefon|gwizdek|gitara|fortepian|flet|drzwi|"
        "maszyna do pisania|klakson",
        "w kolorze czerwonym|w kolorze pomarańczowym|w kolorze żółtym|w kolorze zielonym|"
        "w kolorze niebieskim|w kolorze fioletowym|w kolorze białym|w kolorze czarnym",
        "na łące|na ulicy|w środku nocy|na plaży|w pokoju|na śniegu",
        "jeden raz|dwa razy|trzy razy|cztery razy",
        ("{kind} {colour} {where}", "Na tym zdjęciu jest {kind} {colour} {where}.",
         "Obraz przedstawia: {kind} {colour}, {where}"),
        ("Słychać, jak {times} brzmi {kind} {where}.", "Dźwięk, który wydaje {kind} {where}, {times}"),
    ),
    "ru": Language(
        "колокол|дождевая туча|сирена|птица|часы|барабан|собака|кошка|лягушка|сверчок|пчела|поезд|"
        "вертолёт|волна|огонь|гром|телефон|свисток|гитара|фортепиано|флейта|дверь|"
        "пишущая машинка|гудок",
        "красного цвета|оранжевого цвета|жёлтого цвета|зелёного цвета|синего цвета|"
        "фиолетового цвета|белого цвета|чёрного цвета",
        "на лугу|на улице|ночью под открытым небом|на берегу моря|в комнате|на снегу",
        "один раз|два раза|три раза|четыре раза",
        ("Эта картинка показывает, как выглядит {kind} {colour} {where}",
         "Вы видите фотографию, и это {kind} {colour} {where}.",
         "Здесь нарисованы {where} такие предметы: {kind} {colour}"),
        ("Вы слышите, как звучит {kind} {where}, {times}.",
         "Это звуки, которые издаёт {kind} {where}, {times}"),
    ),
    "uk": Language(
        "дзвін|дощова хмара|сирена|птах|годинник|барабан|собака|кішка|жаба|цвіркун|бджола|поїзд|"
        "гелікоптер|хвиля|вогонь|грім|телефон|свисток|гітара|фортепіано|флейта|двері|"
        "друкарська машинка|клаксон",
        "червоного кольору|помаранчевого кольору|жовтого кольору|зеленого кольору|"
        "синього кольору|фіолетового кольору|білого кольору|чорного кольору",
        "на луці|на вулиці міста|вночі просто неба|на березі моря|в кімнаті|на снігу",
        "один раз|двічі|тричі|чотири рази",
        ("{kind} {colour} {where}", "На цій світлині є {kind} {colour} {where}.",
         "Зображення: {kind} {colour}, {where}"),
        ("Чути, як звучить {kind} {where}, {times}.", "Звук, який видає {kind} {where}, {times}"),
    ),
    "ja": Language(
        "鐘|雨雲|サイレン|鳥|時計|太鼓|犬|猫|カエル|コオロギ|ミツバチ|電車|ヘリコプター|波|火|雷|電話|笛|ギター|ピアノ|"
        "フルート|ドア|タイプライター|クラクション",
        "赤い|オレンジ色の|黄色い|緑色の|青い|紫色の|白い|黒い",
        "草原の中の|道の上の|夜の|海辺の|部屋の中の|雪の中の",
        "一回|二回|三回|四回",
        ("{where}{colour}{kind}", "この写真には{where}{colour}{kind}が写っています。",
         "これは{where}{colour}{kind}の画像です"),
        ("{where}{kind}の音が{times}聞こえます。", "これは{where}{kind}の音で、{times}鳴ります"),
    ),
    "zh": Language(
        "钟|雨云|警报器|鸟|时钟|鼓|狗|猫|青蛙|蟋蟀|蜜蜂|火车|直升机|海浪|火|雷|电话|口哨|吉他|钢琴|长笛|门|打字机|"
        "汽车喇叭",
        "红色的|橙色的|黄色的|绿色的|蓝色的|紫色的|白色的|黑色的",
        "草地上|街道上|夜晚里|海滩上|房间里|雪地里",
        "一次|两次|三次|四次",
        ("{where}的{colour}{kind}", "这张照片里是{where}的{colour}{kind}。",
         "这张图片显示{where}有{colour}{kind}"),
        ("可以听到{where}的{kind}响了{times}。", "这是{where}的{kind}发出的声音，响了{times}"),
    ),
}  # fmt: skip


def caption(scene: Scene, medium: Medium, language: str) -> str:
    """Return a caption of a scene in one of `LANGUAGES`; the same scene gives the same caption."""
    words = LANGUAGES[language]
    rng = scene.rng("caption")
    sentences = words.seen if medium == "picture" else words.heard
    text = sentences[int(rng.integers(len(sentences)))].format(
        kind=words.kind(scene.kind),
        colour=words.colours.split("|")[COLOURS.index(scene.colour)],
        where=words.places.split("|")[BACKGROUNDS.index(scene.background)],
        times=words.times.split("|")[scene.count - 1],
    )
    return text[0].upper() + text[1:]
