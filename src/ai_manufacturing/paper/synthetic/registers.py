"""Generate synthetic registers of firms and patents with any number of rows.

DuckDB draws and writes them file by file, in bounded memory. Each row is a function of its number
and the seed. Some rows contain errors for which the warehouse sets them aside.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ai_manufacturing.paper.synthetic.files import (
    SYNTHETIC_MARK,
    require_synthetic_folder,
    write_description,
)
from ai_manufacturing.paper.synthetic.geography import read_units
from ai_manufacturing.system import duckdb_client
from ai_manufacturing.system.settings import project_root
from ai_manufacturing.system.sql_text import quote_literal

ROWS_PER_FILE = 5_000_000
SLOTS = 4096  # rows of the lookup table that turns uniform draws into weighted draws
AI_SHARE = 0.012  # share of firms whose business scope contains an AI phrase
# Each type of data error occurs in one of this many rows: 1 repeated identifier, 2 code of a city
# outside the panel, 3 unknown industry or IPC class, 4 missing first date, 5 dates in wrong order.
FAULT_ONE_IN = 5000


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


# Words and phrases from which firms' business scopes (经营范围) are composed. TRAP_PHRASES resemble
# AI phrases, but do not indicate an AI firm.
GOODS = _words("""
    五金产品 机械设备 建筑材料 电子产品 日用百货 服装服饰 针纺织品 塑料制品 橡胶制品 金属制品
    仪器仪表 电线电缆 通用零部件 汽车零部件 化工产品 农副产品 食品添加剂 家用电器 办公用品 家具
    包装材料 纸制品 玻璃制品 陶瓷制品 照明器具 消防器材 环保设备 制冷设备 模具 轴承 阀门 电子元器件
    计算机软硬件及辅助设备 通讯设备 文具用品 工艺品 水泥制品 木材 钢材 煤炭及制品
    """)
ACTIONS = _words("制造 销售 批发 零售 加工 研发 维修 租赁 安装 进出口")
OTHER_PHRASES = _words("""
    建筑工程施工 市政工程施工 园林绿化工程施工 道路货物运输 普通货物仓储服务 物业管理 企业管理咨询
    信息咨询服务 技术推广服务 劳务派遣服务 广告设计、代理 会议及展览服务 电力供应 热力生产和供应
    自来水生产与供应 煤炭开采 房屋建筑工程 机电设备安装工程 软件开发 信息系统集成服务 货物进出口
    技术进出口 国内贸易代理 餐饮服务 住宿服务
    """)
AI_PHRASES = _words("""
    人工智能应用软件开发 人工智能基础软件开发 智能机器人的研发 工业机器人制造 服务消费机器人制造
    计算机视觉技术开发 语音识别系统研发 人脸识别设备销售 深度学习算法研究 数据标注服务
    无人驾驶技术研发 智能无人飞行器制造 自然语言处理软件开发 知识图谱平台开发
    """)
TRAP_PHRASES = _words("智能家居销售（不含人工智能） 人工智能除外的软件开发 学习用品销售 智能卡销售")
APPROVAL = "（依法须经批准的项目，经相关部门批准后方可开展经营活动）"

# Words and phrases from which patent titles are composed. The bar in an AI title marks the position
# of the object.
OBJECTS = _words("""
    轴承 阀门 电机 变压器 电缆 焊接夹具 数控机床 输送带 搅拌器 过滤器 换热器 锂电池 太阳能组件
    显示面板 印刷电路板 传感器 混凝土 钢梁 脚手架 煤矿支架 汽车座椅 制动器 纺织机 注塑模具 涂料
    催化剂 药物组合物 饮料 包装盒 鞋底
    """)
FORMS = _words("的制备方法 的加工装置 的检测系统 及其控制方法 的结构 用支撑架 清洗设备 冷却机构")
AI_TITLES = _words("""
    基于深度学习的|缺陷检测方法 基于卷积神经网络的|识别方法 一种用于|搬运的工业机器人
    基于强化学习的|调度方法 一种|人脸识别装置 基于知识图谱的|故障诊断方法
    """)
ENGLISH_TITLES = (
    "Bearing housing for a conveyor",
    "Method for preparing a catalyst",
    "Deep learning based inspection",
)
# Relative frequency of firms by industry division; unlisted divisions have weight 1.
FIRM_WEIGHTS = {
    "51": 25,
    "52": 25,
    "33": 6,
    "34": 6,
    "35": 6,
    "47": 4,
    "48": 6,
    "50": 6,
    "65": 8,
    "72": 8,
    "13": 4,
}
IPC_WEIGHTS = {
    "G06F": 8,
    "H04L": 6,
    "H01L": 5,
    "A61K": 5,
    "B65G": 4,
    "E04G": 3,
    "G01N": 5,
    "B23K": 3,
    "H02J": 3,
}


def write_registers(
    out: Path,
    firms: int,
    patents: int,
    seed: int,
    file_format: str = "parquet",
    patent_years: range = range(2008, 2022),
) -> None:
    """Write synthetic firm and patent registers as Parquet or CSV files.

    Parameters
    ----------
    out : Path
        Folder to write, created if absent.
    firms, patents : int
        Rows of each register; zero omits the register.
    seed : int
        Random seed.
    file_format : str
        "parquet" or "csv".
    patent_years : range
        Years of application, with one file each.

    Raises
    ------
    LandingError
        If the folder contains files and is not a synthetic extract set, so that delivered files are
        not overwritten.
    """
    require_synthetic_folder(out)
    out.mkdir(parents=True, exist_ok=True)
    with duckdb_client.connect(
        config={"threads": 2, "memory_limit": "1GB"}, reads_files=True
    ) as connection:
        connection.execute("set preserve_insertion_order = false")
        _make_slots(connection)
        files = -(-firms // ROWS_PER_FILE)  # rounded up
        # Each file covers cities with adjacent codes, like registers published by province.
        parts = zip(_parts(firms, files), _parts(SLOTS, files), strict=True)
        for number, (rows, slots) in enumerate(parts, 1):
            path = out / f"firm_register/企业登记_{number:03d}.{file_format}"
            _copy(connection, _firms(rows, slots, seed), path)
        years = patent_years if patents else []
        for year, rows in zip(years, _parts(patents, len(years)), strict=True):
            path = out / f"patent_register/专利登记_{year}.{file_format}"
            _copy(connection, _patents(rows, year, seed), path)
    write_description(out, "registers", seed, {}, {})


def _parts(whole: int, count: int) -> list[range]:
    """Split range(whole) into `count` consecutive ranges of nearly equal length."""
    return [range(whole * part // count, whole * (part + 1) // count) for part in range(count)]


def _copy(connection: duckdb.DuckDBPyConnection, query: str, path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    options = (
        "format parquet, compression zstd" if path.suffix == ".parquet" else "format csv, header"
    )
    connection.execute(f"copy ({query}) to {quote_literal(path)} ({options})")


def _make_slots(connection: duckdb.DuckDBPyConnection) -> None:
    """Create a lookup table for drawing cities, divisions and IPC subclasses by weight."""
    seeds = project_root() / "seeds"
    cities = read_units()["city_id"]
    divisions = pd.read_csv(seeds / "industries.csv", dtype="str")["industry_code"]
    subclasses = pd.read_csv(seeds / "ipc_industries.csv", dtype="str")["ipc"]
    # Zipf-like weights concentrate a quarter of the firms in a few cities.
    city_weights = {city: 400 / (10 + rank) for rank, city in enumerate(cities[::-1])}
    slots = pd.DataFrame(
        {
            "slot": range(SLOTS),
            "city_code": _slots(cities, city_weights),
            "division": _slots(divisions, FIRM_WEIGHTS),
            "ipc": _slots(subclasses[subclasses.str.len() == 4], IPC_WEIGHTS),
        }
    )
    connection.register("drawn_slots", slots)
    connection.execute("create table slots as from drawn_slots")


def _slots(values: pd.Series, weights: Mapping[str, float]) -> NDArray[np.str_]:
    """Return an array of length SLOTS that repeats each value in proportion to its weight."""
    weight = values.map(weights).fillna(1.0)
    shares = (weight / weight.sum() * (SLOTS - len(values))).astype(int).clip(lower=1)
    return np.resize(values.repeat(shares), SLOTS)


def _list(values: Sequence[str]) -> str:
    return "[" + ", ".join(f"'{value}'" for value in values) + "]"


def _pick(values: Sequence[str], part: int) -> str:
    """Return a SQL expression that draws one of the values pseudo-randomly."""
    return f"{_list(values)}[1 + ({_hash(part)} % {len(values)})::integer]"


def _hash(part: int) -> str:
    return f"hash(i * 64 + {part} + seed)"


def _uniform(part: int) -> str:
    return f"(({_hash(part)} % 1000003)::double + 0.5) / 1000003"


def _number_rows(rows: range, seed: int) -> str:
    return (
        f"select range as i, {seed}::bigint * 1000000000000 as seed"
        f" from range({rows.start}, {rows.stop})"
    )


def _firms(rows: range, slots: range, seed: int) -> str:
    phrases = [good + action for good in GOODS for action in ACTIONS] + [*OTHER_PHRASES]
    ordinary = " || '；' || ".join(_pick(phrases, part) for part in (10, 11, 12, 13, 14))
    return f"""
    with rows as ({_number_rows(rows, seed)}),
    drawn as (
        select
            i, seed, city.city_code, industry.division,
            date '2021-12-31' - least(floor(-ln({_uniform(1)}) * 2600), 14000)::integer
                as entry_date,
            floor(-ln({_uniform(2)}) * 4400)::integer as life,
            {_uniform(3)} as draw, {_hash(4)} % {FAULT_ONE_IN} as fault
        from rows
        inner join slots as city on {slots.start} + {_hash(5)} % {len(slots)} = city.slot
        inner join slots as industry on {_hash(6)} % {SLOTS} = industry.slot
    )
    select
        '91' || lpad((case when fault = 1 then i - 1 else i end)::varchar, 15, '0') || 'X'
            as "统一社会信用代码",
        case when fault = 2 then '710000' else city_code end as "城市代码",
        case
            when fault = 3 then 'ZZ00'
            else division || (10 + 10 * ({_hash(7)} % 8))::varchar
        end as "行业代码",
        case when fault <> 4 then entry_date end as "成立日期",
        case when fault = 5 then entry_date - 30
            when entry_date + life <= date '2021-12-31' then entry_date + life end as "注销日期",
        {ordinary}
        || case when draw < {AI_SHARE} then '；' || {_pick(AI_PHRASES, 15)}
            when draw < {AI_SHARE + 0.004} then '；' || {_pick(TRAP_PHRASES, 16)} else '' end
        || case when {_hash(17)} % 2 = 0 then '{APPROVAL}' else '。' end as "经营范围",
        '{SYNTHETIC_MARK}' as "数据来源"
    from drawn"""


def _patents(rows: range, year: int, seed: int) -> str:
    before, after = zip(*(title.split("|") for title in AI_TITLES), strict=True)
    ai_title = f"{_list(before)}[k] || {_pick(OBJECTS, 12)} || {_list(after)}[k]"
    return f"""
    with rows as ({_number_rows(rows, seed + 1)}),
    drawn as (
        select
            i, seed, city.city_code, class.ipc,
            (date '{year}-01-01' + ({_hash(1)} % 365)::integer) as application_date,
            180 + floor(-ln({_uniform(2)}) * 500)::integer as wait,
            {_uniform(3)} as draw, {_hash(4)} % {FAULT_ONE_IN} as fault, {_hash(8)} % 10 as kind,
            1 + ({_hash(9)} % {len(AI_TITLES)})::integer as k
        from rows
        inner join slots as city on {_hash(5)} % {SLOTS} = city.slot
        inner join slots as class on {_hash(6)} % {SLOTS} = class.slot
    )
    select
        'CN{year}' || lpad((case when fault = 1 then i - 1 else i end)::varchar, 9, '0')
            as "申请号",
        case when fault = 2 then '710000' else city_code end as "城市代码",
        case when fault = 3 then 'Z99Z 1/00'
            when kind < 9 then ipc || ' ' || (1 + {_hash(7)} % 90)::varchar || '/00'
        end as "IPC主分类号",
        case when kind < 4 then '发明' when kind < 9 then '实用新型' else '外观设计' end
            as "专利类型",
        case when fault <> 4 then application_date end as "申请日",
        case when fault = 5 then application_date - 30
            when wait < 1100 and application_date + wait <= date '2021-12-31'
                then application_date + wait
        end as "授权日",
        case when draw < 0.03 then {ai_title}
            when draw < 0.05 then {_pick(ENGLISH_TITLES, 13)}
            else '一种' || {_pick(OBJECTS, 12)} || {_pick(FORMS, 14)} end as "专利名称",
        '{SYNTHETIC_MARK}' as "数据来源"
    from drawn"""
