"""Small files as people bring them, one kind of trouble each (invented data, always the same).

`write_all(folder)` writes them; `test_everyday_files.py` says what must come of each.
"""

# ruff: noqa: E501, E731, B905
# fmt: off
from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from random import Random
from zoneinfo import ZoneInfo

DT, TD = datetime, timedelta
D = [date(2023, 1, 2) + TD(days=i) for i in range(84)]          # Monday first, 12 weeks
WK = [100, 110, 120, 130, 140, 50, 40]
H = [DT(2023, 1, 1) + TD(hours=i) for i in range(24 * 14)]
hy = [100 + 10 * t.hour for t in H]


def write_all(folder: Path) -> None:
    """Every file, into `folder`."""
    def w(name, text, encoding="utf-8"):
        (folder / name).write_text(text, encoding=encoding, newline="")

    for write in (_numbers_like_times, _outlooks, _times_in_parts, _digits, _marks, _shut_days, _zones, _containers):
        write(w)


def tab(header, rows, sep=","):
    return header + "\n" + "".join(sep.join(map(str, r)) + "\n" for r in rows)


def _numbers_like_times(w):
    # A1..A5 numbers taken for times
    w('a1.csv', tab('date,revenue,visits', [(d, f'{2000 + 100 * d.weekday()}.15', 50 + d.weekday()) for i, d in enumerate(D)]))
    w('a2.csv', tab('date,store,revenue', [(d, s, f'{2000 + 100 * d.weekday()}.15') for s in 'AB' for i, d in enumerate(D)]))
    w('a6.csv', tab('date,revenue,visits', [(d, f'{2000 + 100 * d.weekday()}.{15 + i % 80}', 50 + d.weekday()) for i, d in enumerate(D)]))
    w('a3.csv', tab('Date,Open,High,Low,Close,Volume', [(d, f'{4000+i}.11', f'{4010+i}.52', f'{3990+i}.25', f'{4005+i}.37', 3000000000 + i) for i, d in enumerate(D) if d.weekday() < 5]))
    w('a4.csv', tab('date,pressure,temp', [(d, f'{1010 + i % 9}.{1 + i % 9}', f'{i % 7}.5') for i, d in enumerate(D)]))
    w('a5.csv', tab('when,price', [(d, f'{1200 + i}.{10 + i % 80}') for i, d in enumerate(D)]))


def _outlooks(w):
    # B outlook whose id column has no usual name
    F = [D[-1] + TD(days=i + 1) for i in range(7)]
    P = {'A': [i % 3 == 0 for i in range(91)], 'B': [i % 3 == 1 for i in range(91)]}
    w('b_hist.csv', tab('date,store,sales,promo', [(d, s, (100 if s == 'A' else 200) * (2 if P[s][i] else 1), int(P[s][i])) for s in 'AB' for i, d in enumerate(D)]))
    w('b_fut.csv', tab('date,store,promo', [(d, s, int(P[s][84 + i])) for s in 'AB' for i, d in enumerate(F)]))
    w('b_all.csv', tab('date,store,sales,promo', [(d, s, (100 if s == 'A' else 200) * (2 if P[s][i] else 1), int(P[s][i])) for s in 'AB' for i, d in enumerate(D)] + [(d, s, '', int(P[s][84 + i])) for s in 'AB' for i, d in enumerate(F)]))
    w('b_one.csv', tab('date,store,sales,promo', [(d, 'A', 100 * (2 if P['A'][i] else 1), int(P['A'][i])) for i, d in enumerate(D)]))
    w('b_onefut.csv', tab('date,store,promo', [(d, 'A', int(P['A'][84 + i])) for i, d in enumerate(F)]))
    w('b_wide.csv', tab('date,A,B', [(d, i % 7, 2 * (i % 7)) for i, d in enumerate(D)]))
    w('b_widefut.csv', tab('date,temp', [(d, i % 5) for i, d in enumerate(F * 2)][:7]))
    w('b_sep.csv', tab('ds,y', [(d, 10 + i % 7) for i, d in enumerate(D)]))
    w('b_sepfut.csv', tab('ds,temp', [(d, i % 5) for i, d in enumerate(D + F)]))


def _times_in_parts(w):
    # C time of day / month / period taken for the id
    w('c1.csv', tab('Date;Time;kW', [(t.strftime('%d/%m/%Y'), t.strftime('%H:%M:%S'), y) for t, y in zip(H, hy)], ';'))
    w('c2.csv', tab('Year,Month,Sales', [(y, DT(2000, m, 1).strftime('%B'), 100 + 10 * m) for y in range(2010, 2018) for m in range(1, 13)]))
    w('c3.csv', tab('Year,Quarter,Sales', [(y, f'Q{q}', 100 + 10 * q) for y in range(2010, 2020) for q in range(1, 5)]))
    w('c4.csv', tab('date,hour,load', [(t.date(), t.hour, y) for t, y in zip(H, hy)]))
    w('c5.csv', tab('SETTLEMENT_DATE,SETTLEMENT_PERIOD,ND', [(t.date(), t.hour * 2 + t.minute // 30 + 1, 100 + 10 * t.hour) for t in (DT(2024, 1, 1) + TD(minutes=30 * i) for i in range(480))]))
    w('c6.csv', tab('YEAR,MO,DY,HR,T2M', [(t.year, t.month, t.day, t.hour, y) for t, y in zip(H, hy)]))
    w('c7.csv', tab('YYYYMMDD,HH,T', [(t.strftime('%Y%m%d'), t.hour + 1, y) for t, y in zip(H, hy)]))
    w('c8.csv', tab('year,week,sales', [(*(DT(2019, 1, 7) + TD(weeks=i)).isocalendar()[:2], 100 + (DT(2019, 1, 7) + TD(weeks=i)).isocalendar()[1]) for i in range(120)]))
    w('c9.csv', tab('year,quarter,sales', [(y, q, 100 + 10 * q) for y in range(2010, 2020) for q in range(1, 5)]))
    w('c10.csv', tab('invoice,date,amount', [(f'INV{5*i+j:05d}', d, 100 + 10 * d.weekday() + j) for i, d in enumerate(D) for j in range(5)]))


def _digits(w):
    # D times that are bare numbers
    w('d1.csv', tab('ds,y', [((x := (date(2017, 7, 17) + TD(weeks=i)).isocalendar())[0] * 100 + x[1], 100 + x[1]) for i in range(120)]))
    w('d2.csv', tab('ds,y', [((DT(2023, 1, 1) + TD(minutes=i)).strftime('%Y%m%d%H%M'), i % 60) for i in range(1440)]))
    w('d3.csv', tab('ds,y', [((date(2022, 1, 1) + TD(days=i)).strftime('%Y%j'), 100 + (date(2022, 1, 1) + TD(days=i)).weekday()) for i in range(730)]))
    w('d4.csv', tab('ds,y', [(t.strftime('%Y%m%d%H%M'), y) for t, y in zip(H, hy)]))
    w('d5.csv', tab('MESS_DATUM,TT', [(t.strftime('%Y%m%d%H'), y) for t, y in zip(H, hy)]))
    w('d6.csv', tab('quarter,sales', [(f'{q}-{y}', 100 + 10 * q) for y in range(2010, 2020) for q in range(1, 5)]))


def _marks(w):
    # E numbers
    dot = lambda v: f'{v:,}'.replace(',', '.')
    V = [800, 880, 960, 1040, 1120, 400, 320] * 12
    w('e1.csv', tab('Datum;Umsatz;Rabatt', [(d.strftime('%d.%m.%Y'), dot(v), f'{i % 9},{i % 10}5') for i, (d, v) in enumerate(zip(D, V))], ';'))
    w('e2.csv', tab('date,use', [(d, f'{v:,}'.replace(',', '\u00a0')) for d, v in zip(D, V)]))
    w('e3.csv', tab('DATE,DGS10', [(d, '.' if i % 9 == 0 else WK[i % 7]) for i, d in enumerate(D)]))
    w('e4.csv', tab('date,use', [(d, f'{v} kWh') for d, v in zip(D, V)]))


def _shut_days(w):
    # F days and hours without any value
    w('f1.csv', tab('date,sales', [(d, {0: 100, 1: 110, 2: 120, 3: 130, 4: 180, 5: 240}[d.weekday()]) for d in (date(2022, 1, 3) + TD(days=i) for i in range(544)) if d.weekday() < 6]))
    w('f2.csv', tab('date,close', [(d, {6: 50, 0: 60, 1: 70, 2: 80, 3: 90}[d.weekday()]) for d in (date(2022, 1, 2) + TD(days=i) for i in range(544)) if d.weekday() not in (4, 5)]))
    w('f3.csv', tab('time,kwh', [(t.strftime('%Y-%m-%d %H:%M'), 100 + 10 * (t.hour - 8)) for t in (DT(2023, 1, 2) + TD(hours=i) for i in range(24 * 180)) if t.weekday() < 5 and 8 <= t.hour < 18]))
    w('f4.csv', tab('id,ds,y', [('office', d, 100 + 10 * d.weekday()) for d in (date(2021, 1, 1) + TD(days=i) for i in range(730)) if d.weekday() < 5] + [('shop', d, 200 + 10 * d.weekday()) for d in (date(2021, 1, 1) + TD(days=i) for i in range(730))]))


def _zones(w):
    # G zones
    Z = ZoneInfo('Europe/Berlin')
    def local(first, n, mins): return [(first + TD(minutes=mins * i)).astimezone(Z) for i in range(n)]
    S = [55, 52, 50, 49, 50, 54, 65, 80, 90, 94, 95, 96, 95, 94, 92, 90, 91, 95, 100, 98, 90, 80, 70, 60]
    L = local(DT(2024, 8, 31, 22, tzinfo=UTC), 24 * 70, 60)
    rnd = Random(0)
    LY = [round(S[t.hour] * (1 if t.weekday() < 5 else .8) + rnd.gauss(0, 1), 2) for t in L]
    for n, end in (('g1_0.csv', DT(2024, 10, 27, tzinfo=Z)), ('g1_1.csv', DT(2024, 10, 28, tzinfo=Z)), ('g1_2.csv', DT(2024, 10, 29, tzinfo=Z))):
        w(n, tab('ds,load', [(t.strftime('%Y-%m-%d %H:%M'), y) for t, y in zip(L, LY) if t.astimezone(UTC) < end.astimezone(UTC)]))
        w(n.replace('.csv', '_true.csv'), tab('ds,load', [(t.strftime('%Y-%m-%d %H:%M'), y) for t, y in zip(L, LY) if t.astimezone(UTC) >= end.astimezone(UTC)][:24]))
    M = [DT(2015 + i // 12, i % 12 + 1, 1, tzinfo=ZoneInfo('Europe/Madrid')) for i in range(96)]
    w('g2.csv', tab('ds,y', [(t.astimezone(UTC).strftime('%Y-%m-%dT%H:%M:%SZ'), 100 + 10 * t.month) for t in M]))
    A = [DT(2024, 1, 1, tzinfo=ZoneInfo('Europe/Amsterdam')) for _ in '1']
    A = [(DT(2024, 1, 1) + TD(days=i)).replace(tzinfo=ZoneInfo('Europe/Amsterdam')) for i in range(200)]
    w('g3.csv', tab('ds,y', [(t.astimezone(UTC).strftime('%Y-%m-%dT%H:%M:%SZ'), WK[t.weekday()]) for t in A]))
    X = [(DT(2024, 3, 11) + TD(hours=6 * i)) for i in range(160)]
    w('g4.csv', tab('ds,y', [(t.strftime('%Y-%m-%d %H:%M'), t.hour) for t in X]))
    def he(ts):
        n = {}
        for t in ts:
            n[t.date()] = n.get(t.date(), 0) + 1
            yield t.strftime('%m/%d/%Y'), n[t.date()]
    C = [t.astimezone(ZoneInfo('America/Chicago')) for t in L]
    C = [(DT(2024, 10, 20, 5, tzinfo=UTC) + TD(hours=i)).astimezone(ZoneInfo('America/Chicago')) for i in range(24 * 21)]
    w('g5.csv', tab('Delivery Date,Hour Ending,Load', [(a, b, S[t.hour]) for (a, b), t in zip(he(C), C)]))
    w('g6.csv', tab('ds,y', [(t.isoformat(), S[t.hour]) for t in L]))


def _containers(w):
    # K containers
    w('k1.csv', 'sep=;\n' + tab('ds;y', [(d, WK[d.weekday()]) for d in D], ';'))
    w('k2.csv', 'latitude,longitude,elevation,utc_offset_seconds,timezone,timezone_abbreviation\n52.52,13.41,38.0,0,GMT,GMT\n\n' + tab('time,temp (C)', [(d, WK[d.weekday()]) for d in D]))
    w('k3.csv', tab('time,temp', [('UTC', 'degC')] + [(d, WK[d.weekday()]) for d in D]))
    w('k4.csv', tab('ds,y', [(d, WK[d.weekday()]) for d in D]) + '\nSource: Office of National Statistics\n')
    w('k5.csv', tab('Date;CO;;', [(d.strftime('%d/%m/%Y'), WK[d.weekday()], '', '') for d in D], ';') + ';;;\n;;;\n')
    w('k6.csv', 'Province,Country,Lat,Long,' + ','.join((date(2020, 1, 22) + TD(days=i)).strftime('%-m/%-d/%y') for i in range(60)) + '\n' + ''.join(f'P{k},C{k},1.5,2.5,' + ','.join(str((i + 1) * k) for i in range(60)) + '\n' for k in (1, 2, 3)))
    w('k7.csv', 'Year,Jan,Feb,Mar,Apr,May,Jun,Jul,Aug,Sep,Oct,Nov,Dec\n' + ''.join(f'{y},' + ','.join(str(100 + 10 * m) for m in range(1, 13)) + '\n' for y in range(2000, 2020)))
    w('k8.csv', 'Passengers\n' + ''.join(f'{100 + 10 * (i % 12) + i}\n' for i in range(96)))
    w('k9.csv', tab('Month,Sales', [(f'{i // 12 + 1}-{i % 12 + 1:02d}', 100 + 10 * (i % 12)) for i in range(60)]))
    w('k10.csv', tab('MTU (CET),Load', [(f"{t:%d.%m.%Y %H:%M} - {t + TD(hours=1):%d.%m.%Y %H:%M}", y) for t, y in zip(H, hy)]))
    w('k11.csv', tab('Date;Time;CO', [(t.strftime('%d/%m/%Y'), t.strftime('%H.%M.%S'), y) for t, y in zip(H, hy)], ';'))
    w('k12.csv', tab('Local time,Close', [(t.strftime('%d.%m.%Y %H:%M:%S.000') + ' GMT+0200', y) for t, y in zip(H, hy)]))
    w('k13.csv', tab('ds,y', [(d.strftime('%d%b%Y').upper(), WK[d.weekday()]) for d in D]))
    w('k18.csv', tab('ds,y', [(f'FY{2000 + n}', 100 + 10 * (n % 2)) for n in range(20)]))
    w('k19.csv', tab('ds,y', [(f'{2010 + n // 2}H{n % 2 + 1}', 100 + 10 * (n % 2)) for n in range(20)]))
    w('k20.csv', tab('ds,y', [(t.strftime('%Y-%m-%d %H:%M') + ' EST', y) for t, y in zip(H, hy)]))
    w('k21.csv', tab('ds,y', [(t.strftime('%Y-%m-%d %H:%M'), y) for t, y in zip(H, hy)]))
    w('k14.csv', tab('ds,y', [(f'2021-W{n:02d}', n) for n in range(40, 54)]))
    w('k15.csv', tab('Delivery Date,Hour Ending,Load', [(t.strftime('%m/%d/%Y'), t.hour + 1, y) for t, y in zip(H, hy)]))
    w('k16.csv', tab('ds,y', [(DT(2024, 1, 1) + TD(minutes=5 * i, seconds=[-3, 2, 0, 3, -1][i % 5]), 50 + (5 * i // 60) % 24) for i in range(1152)]))
    w('k17.csv', tab('ds,y', [(date(2010 + i // 24, i // 2 % 12 + 1, 1 if i % 2 == 0 else 15), 100 + 10 * (i % 2)) for i in range(192)]))
