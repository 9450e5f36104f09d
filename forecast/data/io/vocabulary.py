"""What the name of a column says of it, in the languages people name columns in.

A name alone never decides: `columns.map_columns` weighs it with what the cells can be.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


ID_NAMES = ("unique_id", "item_id", "series_id", "ts_id", "series", "segment", "id")
STEP_NAMES = (
    "ds", "t", "step", "time", "timestamp", "time_idx", "period", "year", "index", "date",
    "datetime", "date_time",
)  # fmt: skip
TARGET_NAMES = ("y", "target", "value", "values", "sales")

TIME_NAMES = _words(
    """
    ds timestamp datetime date_time date time month week quarter year yr day period index dt ts
    yyyymmdd yyyymm yyyymmddhh yyyymmddhhmm yyyyww yyyyddd yearmonth year_month yearweek
    year_week timeindex time_index datestamp time_stamp local_time utc_time valid_time datum
    zeit zeitpunkt zeitstempel zeitraum datum_zeit tag monat woche quartal jahr kw mess_datum
    fecha fecha_hora fechahora hora dia mes semana trimestre ano periodo data data_hora
    data_ora dataora mes_ano giorno mese settimana anno ora jour date_heure dateheure
    horodatage mois semaine annee heure periode dag dato tid tidspunkt tidpunkt datetid maand
    maned manad uge uke vecka kvartal ar jaar tijd tijdstip paiva paivamaara aika kuukausi
    viikko vuosi dzien data_czas czas miesiac tydzien rok cas den mesic tyden nap datum_ido
    ido ev ho tarih zaman gun ay hafta yil дата время дата_время месяц неделя год квартал
    день период 日期 时间 日期时间 月份 年份 年月 周 月 年 日 日付 日時 時刻 時間 年月日 期間
    날짜 일자 일시 시간 연월 연도 월 년 ημερομηνια
    χρονος تاريخ التاريخ तारीख วันที่ ngay thang
    """
)
TIME_WORDS = _words(
    """
    date datetime timestamp datum zeitstempel zeitpunkt fecha dato tarih дата 日期 日付 日時 날짜
    horodatage tidspunkt tidpunkt paivamaara yyyymmdd mtu
    """
)

PARTS = ("year", "half", "quarter", "month", "week", "day", "hour", "minute", "second", "period")
_PARTS = {
    "year": """year yr yyyy jahr ano annee an anno ar aar jaar vuosi rok yil ev год 年 年份 年度
        연도 년 calendar_year""",
    "half": "half semester halbjahr semestre half_year",
    "quarter": """quarter qtr q quartal trimestre trim kvartal kwartaal kwartal квартал 季度 四半期
        분기""",
    "month": """month mon mo mm monat mes mois mese manad maned maand kuukausi miesiac mesic ay ho
        месяц 月 月份 월 month_name month_number monthname""",
    "week": """week wk woche kw kalenderwoche semana semaine settimana vecka uge uke viikko
        week_number weeknumber week_no weekno weeknum iso_week isoweek week_of_year tydzien tyden
        hafta неделя 周 週 주""",
    "day": """day dy dd day_of_month dayofmonth tag dia jour giorno dag den dzien gun день 日
        일 mday""",
    "hour": """hour hr hh he hour_ending hourending hour_beginning hourbeginning hour_of_day
        hourofday stunde std hora heure ora uur time timme tunti godzina saat час 时 時 小时 시
        delivery_hour trading_hour hour_start hour_end hours h""",
    "minute": "minute minutes min mi mn minuto minuten minut минута 分 분",
    "second": "second seconds sec ss segundo sekunde secondo секунда 秒 초",
    "period": """settlement_period settlementperiod period sp periodo trading_period tradingperiod
        half_hour halfhour half_hourly_period periode interval_number""",
}
PART_OF = {word: part for part, words in reversed(_PARTS.items()) for word in words.split()}
DERIVED = _words(
    """
    weekday week_day dow day_of_week dayofweek day_name dayname wday wochentag dia_semana
    dia_de_la_semana jour_semaine jour_de_la_semaine giorno_settimana veckodag ugedag ukedag
    viikonpaiva weekend is_weekend wochenende fin_de_semana day_of_year dayofyear doy yday
    day_type season jahreszeit 曜日 星期 요일 день_недели am_pm ampm
    """
)

GROUP_WORDS = _words(
    """
    store shop filiale laden markt tienda sucursal local magasin boutique negozio loja winkel
    filial butik sklep butikk magazin магазин 门店 店铺 店舗 매장 item product artikel produkt
    producto produit prodotto produto sku article articulo vare upc ean gtin asin товар 商品 产品
    제품 region country state province city county district land bundesland stadt ort pais
    ciudad provincia pays ville regione paese citta cidade estado departement department
    departamento kommune gemeinde regiao territory market zone area регион город страна 地区
    城市     国家 省 地域 都市 지역 도시
    station site sensor meter device node node_id plant line machine unit_id
    feeder substation zahler zaehler standort anlage maschine linie werk medidor estacion
    capteur compteur location location_id household building household_id building_id address
    asset generator customer client account kunde cliente user ticker symbol instrument stock
    isin fund currency code name dept channel family category brand store_nbr segment series
    group gruppe kategorie categoria categorie grupo kanal label variable hospital clinic ward
    school airport airline carrier route depot warehouse lager almacen entrepot restaurant
    hotel branch outlet franchise team agent vendor supplier campaign page article_id kanton
    canton municipality postcode zip zipcode plz key
    """
)
ID_SUFFIXES = _words(
    """
    id nr no num number nbr code key name bez kennung kode
    """
)

SALES_NAMES = _words(
    """
    value values valor wert werte valeur valore vaerdi varde waarde arvo wartosc hodnota deger
    значение 值 数值 値 数値 값 sales umsatz umsaetze umsatze ventas vendas ventes vendite verkauf
    verkaufe omsetning omsatning omzet myynti sprzedaz prodej satis chiffre_d_affaires
    chiffre_affaires ca продажи выручка 销售额 销量 销售 売上 売上高 매출 매출액 판매량
    """
)
ROW_NAMES = _words(
    """
    no nr row rownum row_number rownumber row_id rownames row_names unnamed_0 unnamed index
    line_no line_number lfd lfd_nr sr_no s_no sno serial serial_no obs observation record
    record_id n num id idx 序号 番号 번호
    """
)
PLACE_WORDS = _words(
    """
    lat lon long lng latitude longitude breite laenge elevation altitude x_coord y_coord
    """
)
BEGIN_WORDS = _words(
    """
    from start begin beginning von ab desde inicio debut du da inizio
    """
)
END_WORDS = _words(
    """
    to end bis ending until till hasta fin au a fine ate
    """
)
QUARTER_WORDS = _words(_PARTS["quarter"])
WEEK_WORDS = _words(_PARTS["week"] + " yearweek yyyyww year_week")

MONTH_NAMES = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september",
    "october", "november", "december",
)  # fmt: skip
MONTH_STARTS = {
    1: "jan ene gen janv tammi sty led oca янв",
    2: "feb fev fevr helmi lut uno sub фев",
    3: "mar marz maerz mart maa maalis bre mrz мар",
    4: "apr abr avr huhti kwi dub nis апр",
    5: "may mai mag maio mei maj toukok kve май",
    6: "jun giu juin kesa cze cer haz июн",
    7: "jul lug juil heina lip tem июл",
    8: "aug ago aout elo sie srp agu авг",
    9: "sep set sept syys wrz zar eyl сен",
    10: "oct okt ott out loka paz rij eki окт",
    11: "nov marras lis kas ноя",
    12: "dec dez dic des joulu gru pro ara дек",
}
# Names as they are written, whole and shortened, a language a line; the first line that has all
# names of a column says how the others are written.
MONTH_ROWS = tuple(row.split() for row in """
January February March April May June July August September October November December
Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec
Jan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec
Januar Februar März April Mai Juni Juli August September Oktober November Dezember
Januar Februar Maerz April Mai Juni Juli August September Oktober November Dezember
Jan Feb Mär Apr Mai Jun Jul Aug Sep Okt Nov Dez
Jan Feb Mrz Apr Mai Jun Jul Aug Sep Okt Nov Dez
Jän Feb Mär Apr Mai Jun Jul Aug Sep Okt Nov Dez
janvier février mars avril mai juin juillet août septembre octobre novembre décembre
janvier fevrier mars avril mai juin juillet aout septembre octobre novembre decembre
janv févr mars avr mai juin juil août sept oct nov déc
jan fév mar avr mai jun jul aoû sep oct nov déc
enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre
ene feb mar abr may jun jul ago sep oct nov dic
ene feb mar abr may jun jul ago sept oct nov dic
gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre novembre dicembre
gen feb mar apr mag giu lug ago set ott nov dic
janeiro fevereiro março abril maio junho julho agosto setembro outubro novembro dezembro
jan fev mar abr mai jun jul ago set out nov dez
januari februari maart april mei juni juli augustus september oktober november december
jan feb mrt apr mei jun jul aug sep okt nov dec
januari februari mars april maj juni juli augusti september oktober november december
januar februar marts april maj juni juli august september oktober november december
jan feb mar apr maj jun jul aug sep okt nov dec
januar februar mars april mai juni juli august september oktober november desember
jan feb mar apr mai jun jul aug sep okt nov des
styczeń luty marzec kwiecień maj czerwiec lipiec sierpień wrzesień październik listopad grudzień
stycznia lutego marca kwietnia maja czerwca lipca sierpnia września października listopada grudnia
sty lut mar kwi maj cze lip sie wrz paź lis gru
январь февраль март апрель май июнь июль август сентябрь октябрь ноябрь декабрь
января февраля марта апреля мая июня июля августа сентября октября ноября декабря
янв фев мар апр май июн июл авг сен окт ноя дек
""".strip().splitlines())  # fmt: skip
WEEKDAY_ROWS = tuple(row.split() for row in """
Monday Tuesday Wednesday Thursday Friday Saturday Sunday
Mon Tue Wed Thu Fri Sat Sun
Mon Tues Wed Thurs Fri Sat Sun
Montag Dienstag Mittwoch Donnerstag Freitag Samstag Sonntag
Mo Di Mi Do Fr Sa So
Mon Die Mit Don Fre Sam Son
lundi mardi mercredi jeudi vendredi samedi dimanche
lun mar mer jeu ven sam dim
lunes martes miércoles jueves viernes sábado domingo
lun mar mié jue vie sáb dom
lunedì martedì mercoledì giovedì venerdì sabato domenica
lun mar mer gio ven sab dom
maandag dinsdag woensdag donderdag vrijdag zaterdag zondag
ma di wo do vr za zo
seg ter qua qui sex sáb dom
mandag tirsdag onsdag torsdag fredag lørdag søndag
man tir ons tor fre lør søn
måndag tisdag onsdag torsdag fredag lördag söndag
mån tis ons tor fre lör sön
""".strip().splitlines())  # fmt: skip
TOTAL_WORDS = re.compile(
    r"(?i)\W*(grand\s+|sub)?"
    r"(total(e|es|en|s)?|sum(me)?|gesamt(summe)?|insgesamt|somme|soma|totaal|average|mean|"
    r"mittelwert|durchschnitt|promedio|media|moyenne|итого|всего|合计|总计|合計|総計|합계)\b.*"
)


@lru_cache(maxsize=4096)
def key_of(name: str) -> str:
    """A column name in plain small letters and underscores, to compare with known names.

    Accents, what stands in brackets (units), and joints of CamelCase are levelled: `Fecha/Hora`,
    `DeliveryDate (CET)`, `délivré` become fecha_hora, delivery_date, delivre.
    """
    plain = unicodedata.normalize("NFKD", re.sub(r"[(\[].*?[)\]]", " ", name) or name)
    plain = "".join(c for c in plain if not unicodedata.combining(c))
    plain = unicodedata.normalize("NFC", plain).replace("ß", "ss").replace("ø", "o")
    plain = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", plain)
    found = re.sub(r"[^\w]+|_+", "_", plain.casefold()).strip("_")
    return found or re.sub(r"[^\w]+", "_", name.casefold()).strip("_")


def words_of(name: str) -> frozenset[str]:
    """The words of a column name."""
    return frozenset(key_of(name).split("_"))


def names_time(name: str) -> bool:
    """Whether a column is called a time: a known name, or one that holds such a word."""
    key = key_of(name)
    joined = key.replace("_", "")
    return key in TIME_NAMES or joined in TIME_NAMES or bool(words_of(name) & TIME_WORDS)


def part_named(name: str) -> str | None:
    """The part of a time (year, month, hour, period, ...) that a column is called after."""
    key = key_of(name)
    short = "_".join(w for w in key.split("_") if w not in ID_SUFFIXES)
    return PART_OF.get(key) or PART_OF.get(key.replace("_", "")) or PART_OF.get(short)


def names_series(name: str) -> bool:
    """Whether a column is called like something that tells series apart: store, artikel_nr."""
    key = key_of(name)
    words = words_of(name)
    if key in GROUP_WORDS:
        return True
    named = bool(words & GROUP_WORDS) and bool(words & ID_SUFFIXES)
    return named or (key.endswith(("_id", "id")) and key[:-2].strip("_") in GROUP_WORDS)


def names_key(name: str) -> bool:
    """Whether a column is called the number or code of something: customer_id, PLZ, Artikelnr."""
    words = words_of(name)
    return names_series(name) or bool(words & {"id", "code", "key", "zip", "plz", "uuid", "guid"})


def names_number(name: str) -> bool:
    """Whether a column is called like a running number: receipt_no, Belegnr., order number."""
    return re.search(r"(?i)((^|[_ .-])no|nr|(^|[_ .-])num(ber|ero)?|nummer)\.?$", name) is not None


def names_forecast(name: str) -> bool:
    """Whether a column is called like somebody's forecast or plan of another one."""
    words = r"(?i)forecast|predict|prognos|vorhersage|pr[eé]vision|\bplan|budget"
    return re.search(words, name) is not None


def names_row(name: str) -> bool:
    """Whether a column is called like a count of rows, or has no name at all."""
    return key_of(name) in ROW_NAMES or re.fullmatch(r"column \d+", name) is not None


def names_place(name: str) -> bool:
    """Whether a column is called like a coordinate."""
    return bool(words_of(name) & PLACE_WORDS)


def month_of(word: str) -> int:
    """1 to 12 for the name of a month, whole or shortened, in any of a dozen languages; else 0."""
    key = key_of(word.strip(" ."))
    if not key.isalpha() or len(key) < 3:
        return 0
    if whole := _months_whole().get(key):
        return whole
    for month, starts in MONTH_STARTS.items():
        if len(key) > 3 and any(key.startswith(s) for s in starts.split() if len(s) > 2):
            return month
    return 0


@lru_cache(maxsize=1)
def _months_whole() -> dict[str, int]:
    found = {key_of(name): n for row in MONTH_ROWS for n, name in enumerate(row, 1)}
    starts = {name: n for n, names in MONTH_STARTS.items() for name in names.split()}
    return found | {name: n for name, n in starts.items() if len(name) > 2}


def names_month(word: str) -> bool:
    """Whether a word is the name of a month and not one that only begins so: Mar, not Market."""
    return key_of(word.strip(" .'")) in _months_whole()


def names_like(seen: dict[int, str], rows: Sequence[Sequence[str]]) -> tuple[str, ...] | None:
    """All names (months or weekdays) as `seen` writes those that it has: position -> name.

    From the first of `rows` that has all of them, in capitals or small letters as they are; None
    where no row has, and names are missing.
    """
    size = len(rows[0])
    first = next(iter(seen.values()))
    case = str.upper if first.isupper() else str.lower if first.islower() else str.capitalize
    for row in rows:
        if all(row[at].casefold() == name.casefold() for at, name in seen.items()):
            return tuple(seen.get(at, case(row[at])) for at in range(size))
    return tuple(seen[at] for at in range(size)) if len(seen) == size else None
