"""Names of the codes that orders use: units of quantity (UQC) and states, as in Indian GST. Pure."""

from __future__ import annotations

UNIT_NAMES = {
    "BAG": "bags",
    "BDL": "bundles",
    "BOX": "boxes",
    "BTL": "bottles",
    "CAN": "cans",
    "CTN": "cartons",
    "DOZ": "dozens",
    "DRM": "drums",
    "GMS": "grams",
    "KGS": "kilograms",
    "KLR": "kiloliters",
    "KME": "kilometers",
    "LTR": "liters",
    "MLT": "milliliters",
    "MTR": "meters",
    "MTS": "metric tons",
    "NOS": "numbers",
    "OTH": "other unit",
    "PAC": "packs",
    "PCS": "pieces",
    "PRS": "pairs",
    "QTL": "quintals",
    "ROL": "rolls",
    "SET": "sets",
    "SQF": "square feet",
    "SQM": "square meters",
    "TBS": "tablets",
    "TON": "tonnes",
    "UNT": "units",
}
STATE_NAMES = {
    "01": "Jammu and Kashmir",
    "02": "Himachal Pradesh",
    "03": "Punjab",
    "04": "Chandigarh",
    "05": "Uttarakhand",
    "06": "Haryana",
    "07": "Delhi",
    "08": "Rajasthan",
    "09": "Uttar Pradesh",
    "10": "Bihar",
    "11": "Sikkim",
    "12": "Arunachal Pradesh",
    "13": "Nagaland",
    "14": "Manipur",
    "15": "Mizoram",
    "16": "Tripura",
    "17": "Meghalaya",
    "18": "Assam",
    "19": "West Bengal",
    "20": "Jharkhand",
    "21": "Odisha",
    "22": "Chhattisgarh",
    "23": "Madhya Pradesh",
    "24": "Gujarat",
    "26": "Dadra and Nagar Haveli and Daman and Diu",
    "27": "Maharashtra",
    "29": "Karnataka",
    "30": "Goa",
    "31": "Lakshadweep",
    "32": "Kerala",
    "33": "Tamil Nadu",
    "34": "Puducherry",
    "35": "Andaman and Nicobar Islands",
    "36": "Telangana",
    "37": "Andhra Pradesh",
    "38": "Ladakh",
    "96": "Outside India",
    "97": "Other territory",
}


def unit_name(code: str | None) -> str:
    """``kilograms`` for ``KGS``; empty for an unknown code."""
    return UNIT_NAMES.get(code or "", "")


def unit_label(code: str | None) -> str:
    """The code for use in a sentence; ``OTH (other unit)`` is the only one that needs an explanation."""
    return f"OTH ({UNIT_NAMES['OTH']})" if code == "OTH" else code or ""


def gst_state_label(code: str | None) -> str:
    """``27 Maharashtra``; an unknown code unchanged."""
    code = code or ""
    return f"{code} {STATE_NAMES[code]}" if code in STATE_NAMES else code
