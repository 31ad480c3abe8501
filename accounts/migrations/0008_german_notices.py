"""The first version of all six texts in German. The same version in another language is no new text: nobody is asked again."""

import hashlib

from django.db import migrations

NOTICES = {
    "run_jobs": (
        "Aufträge von Kunden ausführen",
        "Der Computer Ihres geparkten Autos rechnet mit KI-Modellen zahlender Kunden, nur wenn Ihre Regeln es erlauben. Sie werden dafür bezahlt.",
        "Solange Ihr Auto geparkt ist und Ihre eigenen Regeln es erlauben, darf sein Computer KI-Modelle ausführen, die "
        "Kunden von Driveway schicken. Das geschieht in einer abgeschlossenen Umgebung, die weder Ihr Auto noch Ihr "
        "Netzwerk noch Ihre Daten sehen kann.\n\n"
        "Wir speichern: welche Aufträge liefen, wann, wie lange, wie viel Energie sie verbraucht haben und was Sie "
        "verdient haben. Wir erhalten nicht, wo Ihr Auto ist, seine Fahrten, seine Geschwindigkeit oder seinen "
        "Ladestand: Das Auto entscheidet im Auto und teilt uns nur mit, dass es verfügbar ist, oder den Grund, warum "
        "nicht.\n\n"
        "Niemand außer dem Zahlungsdienstleister erhält etwas über Sie. Kunden sehen eine Hardwareklasse, nie ein Auto.\n\n"
        "Sie können auf derselben Seite mit einem Klick widerrufen. Laufende Arbeit endet innerhalb von Sekunden, und was "
        "Sie verdient haben, wird trotzdem ausgezahlt. Ablehnen kostet Sie nichts. Diese Einwilligung endet nach einem "
        "Jahr von selbst, wenn Sie sie nicht erneuern.",
    ),
    "availability": (
        "Verlauf der Verfügbarkeit speichern",
        "Wir speichern, wann Ihr Auto verfügbar war, und sonst den Code des Grundes, um Ihren Verdienst vorherzusagen.",
        "Wir führen einen Verlauf darüber, wann Ihr Auto für Arbeit verfügbar war, und mit welchem Grund es nicht "
        "verfügbar war. So können wir Ihren Verdienst vorhersagen und Ihnen zeigen, welche Ihrer Regeln Sie am meisten "
        "kosten.\n\n"
        "Der Verlauf enthält keine Position, keine Fahrt und keinen Ladestand. Er wird nach 90 Tagen gelöscht.\n\n"
        "Ihre Bezahlung hängt nicht davon ab. Sie können mit einem Klick widerrufen; der Verlauf wird dann gelöscht.",
    ),
    "region": (
        "Grobe Region für Preis und Entfernung",
        "Wir speichern das Bundesland oder die Provinz, die Sie für dieses Auto wählen, um Strompreise und Entfernungen zu Kunden zu kennen.",
        "Sie wählen ein Bundesland oder eine Provinz aus; das Auto sagt uns nie, wo es ist. Wir speichern diesen einen Code "
        "und verwenden ihn für zwei Dinge: den Strompreis dort, und wie weit Antworten bis zu einem Kunden reisen "
        "müssen.\n\n"
        "Niemand außerhalb von Driveway erhält ihn; Kunden können sehen, wie viele Autos es in einer Region gibt, nie "
        "weniger als zehn.\n\n"
        "Ihre Bezahlung hängt nicht davon ab. Sie können mit einem Klick widerrufen; der Code wird im selben Moment "
        "gelöscht.",
    ),
    "reliability": (
        "Zustand der Hardware für Zuverlässigkeit",
        "Wir speichern Fehlerzahlen und Temperaturen des Computers im Auto, um versagende Hardware früh zu bemerken.",
        "Wir speichern Fehlerzahlen und Temperaturbereiche des Computers im Auto, während er Aufträge ausführt, damit "
        "versagende Hardware auffällt, bevor sie falsche Ergebnisse liefert.\n\n"
        "Gespeichert für 90 Tage. Ihre Bezahlung hängt nicht davon ab. Sie können mit einem Klick widerrufen.",
    ),
    "experiments": (
        "An gemessenen Versuchen teilnehmen",
        "Von Zeit zu Zeit probieren wir ein neues Verfahren der Verteilung aus und messen, wie Ihr Auto damit zurechtkommt.",
        "Von Zeit zu Zeit probieren wir eine neue Art aus, Arbeit zu verteilen oder zu prüfen, und messen an einem Teil der "
        "Flotte, wie gut sie ist. Ihre eigenen Regeln gelten immer, und Sie werden zu denselben Sätzen bezahlt.\n\n"
        "Messwerte werden 90 Tage gespeichert. Ihre Bezahlung hängt nicht davon ab. Sie können mit einem Klick widerrufen.",
    ),
    "product_email": (
        "Neues von Driveway per E-Mail",
        "Ab und zu schreiben wir Ihnen über neue Funktionen. Mails zu Ihrem Konto und Ihren Autos hängen davon nicht ab.",
        "Einige Male im Jahr schreiben wir Ihnen, was es bei Driveway Neues gibt. Wir verwenden dafür Ihre E-Mail-Adresse und "
        "den Namen, den Sie uns gegeben haben, sonst nichts, und zählen weder Öffnungen noch Klicks.\n\n"
        "Mails, die Sie brauchen, etwa Belege, endende Einwilligungen und Anmeldecodes, kommen in jedem Fall.\n\n"
        "Ihre Bezahlung hängt nicht davon ab. Sie können hier oder mit einem Klick in jeder solchen Mail widerrufen.",
    ),
}


def publish(apps, schema_editor):
    notices = apps.get_model("accounts", "ConsentNotice")
    for purpose, (title, summary, body) in NOTICES.items():
        first = notices.objects.get(purpose=purpose, version=1, language="en")
        text = f"{title}\n\n{summary}\n\n{body}"
        notices.objects.create(
            purpose=purpose,
            version=1,
            language="de",
            title=title,
            summary=summary,
            body=body,
            sha256=hashlib.sha256(text.encode()).hexdigest(),
            validity_days=first.validity_days,
            effective_at=first.effective_at,
        )


class Migration(migrations.Migration):
    dependencies = [("accounts", "0007_consents_ending")]

    operations = [migrations.RunPython(publish, migrations.RunPython.noop)]
